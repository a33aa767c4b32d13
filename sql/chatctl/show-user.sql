-- The account of the user @id, a line for each value.

SELECT CONCAT_WS('\n',
    CONCAT('name          ', username),
    CONCAT('id            ', id),
    CONCAT('display name  ', IFNULL(display_name, '-')),
    CONCAT('avatar        ', IFNULL(avatar_url, '-')),
    CONCAT('role          ', IF(is_admin, 'admin', 'user')),
    CONCAT('state         ', IF(is_active, 'active', 'disabled')),
    CONCAT('password      ', IF(password = '!', 'none', 'set')),
    CONCAT('created       ', DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%sZ')),
    CONCAT('last seen     ', IFNULL(DATE_FORMAT(last_seen_at,
                                                '%Y-%m-%dT%H:%i:%sZ'), '-')),
    CONCAT('sessions      ', (SELECT COUNT(*) FROM chat_session AS s
                              WHERE s.user_id = u.id AND s.id > u.session_floor
                                AND s.expires_at > UTC_TIMESTAMP())))
FROM chat_user AS u WHERE id = @id;
