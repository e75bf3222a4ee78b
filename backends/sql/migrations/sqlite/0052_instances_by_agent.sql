-- Some instances are made by the agent of their node.
ALTER TABLE {{instances}} ADD COLUMN "by_agent" INTEGER NOT NULL DEFAULT 0 CHECK ("by_agent" IN (0, 1));
