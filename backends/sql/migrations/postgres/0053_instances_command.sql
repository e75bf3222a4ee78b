-- The command that it waits for.
ALTER TABLE {{instances}} ADD COLUMN "command_id" uuid;
