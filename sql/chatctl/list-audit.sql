-- The audit log, latest first.

SELECT DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%sZ'), actor, action,
       IFNULL(target, '-'), IFNULL(detail, '-'), IFNULL(address, '-')
FROM chat_audit ORDER BY id DESC;
