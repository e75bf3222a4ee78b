-- The command that it waits for.
ALTER TABLE {{images}} ADD COLUMN "command_id" uuid;
