CREATE TABLE {{commands}} (
    "id" BLOB NOT NULL CHECK (length("id") = 16),
    "node_id" BLOB NOT NULL CHECK (length("node_id") = 16),
    "kind" TEXT NOT NULL,
    "subject_id" BLOB CHECK (length("subject_id") = 16),
    "payload" TEXT,
    "state" TEXT NOT NULL DEFAULT 'queued',
    "attempt" INTEGER NOT NULL DEFAULT 0,
    "max_attempts" INTEGER NOT NULL,
    "session" INTEGER,
    "leased_until" INTEGER,
    "deadline" INTEGER,
    "result" TEXT,
    "created_at" INTEGER NOT NULL,
    "updated_at" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "commands_node" FOREIGN KEY ("node_id") REFERENCES {{compute_nodes}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "commands_kind" CHECK ("kind" IN ('create_instance', 'start_instance', 'stop_instance', 'delete_instance', 'load_image', 'delete_image', 'save_image', 'ping')),
    CONSTRAINT "commands_state" CHECK ("state" IN ('queued', 'leased', 'done', 'failed', 'parked')),
    CONSTRAINT "commands_attempt_not_negative" CHECK ("attempt" >= 0),
    CONSTRAINT "commands_attempts" CHECK ("attempt" <= "max_attempts")
) STRICT, WITHOUT ROWID;

CREATE INDEX {{bare:commands_queue}} ON {{commands}} ("node_id", "state", "id");
