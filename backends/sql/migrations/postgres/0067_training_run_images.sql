CREATE TABLE {{training_run_images}} (
    "run_id" uuid NOT NULL,
    "position" bigint NOT NULL,
    "image_id" uuid,
    "of_image" uuid NOT NULL,
    "name" text COLLATE "C" NOT NULL,
    "url" text COLLATE "C" NOT NULL,
    "media_type" text COLLATE "C" NOT NULL,
    "text" text COLLATE "C" NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("run_id", "position"),
    CONSTRAINT "training_run_images_run" FOREIGN KEY ("run_id") REFERENCES {{training_runs}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "training_run_images_image" FOREIGN KEY ("image_id") REFERENCES {{training_images}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "training_run_images_position_not_negative" CHECK ("position" >= 0),
    CONSTRAINT "training_run_images_media_type" CHECK ("media_type" IN ('image/png', 'image/jpeg', 'image/webp'))
);

CREATE INDEX {{bare:training_run_images_image}} ON {{training_run_images}} ("image_id" NULLS FIRST, "run_id", "position");
