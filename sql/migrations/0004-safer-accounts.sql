-- Version 4: a rule for names, a limit of sessions.

-- Rows whose names break the rule of sql/schema.sql are marked as unchecked.
-- Otherwise the CHECK would reject every UPDATE of them.

ALTER TABLE chat_user
    ADD COLUMN name_unchecked BOOLEAN NOT NULL DEFAULT FALSE
        AFTER username_key;

SET @chat_names =
    '[\\x{0}-\\x{2A}\\x{2C}\\x{2F}\\x{3A}-\\x{3F}\\x{5B}-\\x{5E}\\x{60}'
    '\\x{7B}-\\x{A0}\\x{AD}\\x{34F}\\x{600}-\\x{605}\\x{61C}\\x{6DD}'
    '\\x{70F}\\x{890}-\\x{891}\\x{8E2}\\x{115F}-\\x{1160}\\x{1680}'
    '\\x{17B4}-\\x{17B5}\\x{180B}-\\x{180F}\\x{2000}-\\x{200F}'
    '\\x{2028}-\\x{202F}\\x{205F}-\\x{206F}\\x{2800}\\x{3000}\\x{3164}'
    '\\x{E000}-\\x{F8FF}\\x{FDD0}-\\x{FDEF}\\x{FE00}-\\x{FE0F}\\x{FEFF}'
    '\\x{FFA0}\\x{FFF0}-\\x{FFFC}\\x{FFFE}-\\x{FFFF}\\x{110BD}\\x{110CD}'
    '\\x{13430}-\\x{1343F}\\x{16FE4}\\x{1BCA0}-\\x{1BCA3}\\x{1D159}'
    '\\x{1D173}-\\x{1D17A}\\x{1FFFE}-\\x{1FFFF}\\x{2FFFE}-\\x{2FFFF}'
    '\\x{3FFFE}-\\x{3FFFF}\\x{4FFFE}-\\x{4FFFF}\\x{5FFFE}-\\x{5FFFF}'
    '\\x{6FFFE}-\\x{6FFFF}\\x{7FFFE}-\\x{7FFFF}\\x{8FFFE}-\\x{8FFFF}'
    '\\x{9FFFE}-\\x{9FFFF}\\x{AFFFE}-\\x{AFFFF}\\x{BFFFE}-\\x{BFFFF}'
    '\\x{CFFFE}-\\x{CFFFF}\\x{DFFFE}-\\x{E0FFF}\\x{EFFFE}-\\x{10FFFF}]'
    '|^[\\x{300}-\\x{36F}\\x{483}-\\x{489}\\x{1AB0}-\\x{1AFF}'
    '\\x{1DC0}-\\x{1DFF}\\x{20D0}-\\x{20FF}\\x{302A}-\\x{302F}'
    '\\x{3099}-\\x{309A}\\x{FE20}-\\x{FE2F}]'
    '|^[.]{1,2}$|^$';

UPDATE chat_user SET name_unchecked = TRUE WHERE username REGEXP @chat_names;

SET @chat_check = CONCAT('ALTER TABLE chat_user ADD CONSTRAINT chat_user_name '
    'CHECK (name_unchecked OR username NOT REGEXP ', QUOTE(@chat_names), ')');

PREPARE chat_check FROM @chat_check;
EXECUTE chat_check;
DEALLOCATE PREPARE chat_check;


-- All sessions of a user can be ended at once, and their number is limited to
-- 50.

ALTER TABLE chat_user
    ADD COLUMN session_floor BIGINT UNSIGNED NOT NULL DEFAULT 0;

ALTER TABLE chat_session
    ADD COLUMN id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    ADD UNIQUE KEY id (id),
    ADD KEY user (user_id, id);

-- Ids were assigned in the order of the key, which is random.  The newest
-- sessions are therefore found by time.

DELETE FROM chat_session WHERE token_hash IN (
    SELECT token_hash FROM (
        SELECT token_hash,
               ROW_NUMBER() OVER (PARTITION BY user_id
                                  ORDER BY created_at DESC, id DESC) AS place
        FROM chat_session
    ) AS numbered WHERE place > 50
);
