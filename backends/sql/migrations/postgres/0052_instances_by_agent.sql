-- Some instances are made by the agent of their node.
ALTER TABLE {{instances}} ADD COLUMN "by_agent" boolean NOT NULL DEFAULT false;
