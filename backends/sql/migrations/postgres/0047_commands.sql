CREATE TABLE {{commands}} (
    "id" uuid NOT NULL,
    "node_id" uuid NOT NULL,
    "kind" text COLLATE "C" NOT NULL,
    "subject_id" uuid,
    "payload" text COLLATE "C",
    "state" text COLLATE "C" NOT NULL DEFAULT 'queued',
    "attempt" bigint NOT NULL DEFAULT 0,
    "max_attempts" bigint NOT NULL,
    "session" bigint,
    "leased_until" timestamptz,
    "deadline" timestamptz,
    "result" text COLLATE "C",
    "created_at" timestamptz NOT NULL,
    "updated_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "commands_node" FOREIGN KEY ("node_id") REFERENCES {{compute_nodes}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "commands_kind" CHECK ("kind" IN ('create_instance', 'start_instance', 'stop_instance', 'delete_instance', 'load_image', 'delete_image', 'save_image', 'ping')),
    CONSTRAINT "commands_state" CHECK ("state" IN ('queued', 'leased', 'done', 'failed', 'parked')),
    CONSTRAINT "commands_attempt_not_negative" CHECK ("attempt" >= 0),
    CONSTRAINT "commands_attempts" CHECK ("attempt" <= "max_attempts")
);

CREATE INDEX {{bare:commands_queue}} ON {{commands}} ("node_id", "state", "id");
