-- What is launched on a node with an agent is made by it.
ALTER TABLE {{node_lifecycles}} ADD COLUMN "has_agent" INTEGER NOT NULL DEFAULT 0 CHECK ("has_agent" IN (0, 1));
