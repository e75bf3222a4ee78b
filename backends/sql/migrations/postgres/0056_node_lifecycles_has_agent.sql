-- What is launched on a node with an agent is made by it.
ALTER TABLE {{node_lifecycles}} ADD COLUMN "has_agent" boolean NOT NULL DEFAULT false;
