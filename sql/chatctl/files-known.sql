-- Which of @tokens, separated by commas, are tokens of files that exist.

SELECT f.token
FROM (WITH RECURSIVE list AS (
          SELECT 1 AS n, SUBSTRING_INDEX(@tokens, ',', 1) AS token
          UNION ALL
          SELECT n + 1, SUBSTRING(@tokens, 1 + 33 * n, 32) FROM list
          WHERE 33 * n < LENGTH(@tokens)
      ) SELECT token FROM list) AS t
STRAIGHT_JOIN chat_file AS f ON f.token = CONVERT(t.token USING ascii)
WHERE f.state < 3;
