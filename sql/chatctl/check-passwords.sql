-- The number of active users without a supported password hash.

SELECT COUNT(*)
FROM chat_user
WHERE is_active
  AND NOT password REGEXP '^([$](y|gy|7|2[aby]|6|5|1)[$]|pbkdf2_sha256[$])';
