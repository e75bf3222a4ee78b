CREATE TABLE {{node_lifecycles}} (
    "node_id" uuid NOT NULL,
    "state" text COLLATE "C" NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("node_id"),
    CONSTRAINT "node_lifecycles_node" FOREIGN KEY ("node_id") REFERENCES {{compute_nodes}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "node_lifecycles_state" CHECK ("state" IN ('initializing', 'active', 'draining', 'cordoned', 'unknown', 'dead'))
);
