CREATE TABLE "apportion"."pots" (
    "id" uuid NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id")
);

ALTER TABLE "apportion"."plants" ADD COLUMN "height" bigint NOT NULL DEFAULT 0;

ALTER TABLE "apportion"."plants" ADD COLUMN "pot" uuid;

ALTER TABLE "apportion"."plants" ADD COLUMN "note" text COLLATE "C";

CREATE UNIQUE INDEX "plants_note" ON "apportion"."plants" ("note" NULLS FIRST);

CREATE INDEX "plants_height" ON "apportion"."plants" ("height", "id");

CREATE INDEX "plants_pot" ON "apportion"."plants" ("pot" NULLS FIRST, "id");

ALTER TABLE "apportion"."plants" ADD CONSTRAINT "plants_pot" FOREIGN KEY ("pot") REFERENCES "apportion"."pots" ("id") ON DELETE RESTRICT;

ALTER TABLE "apportion"."plants" ADD CONSTRAINT "plants_beside" FOREIGN KEY ("pot") REFERENCES "apportion"."plants" ("id") ON DELETE NO ACTION;

ALTER TABLE "apportion"."plants" ADD CONSTRAINT "plants_height_least" CHECK ("height" >= 0);

ALTER TABLE "apportion"."plants" ADD CONSTRAINT "plants_noted_whole" CHECK (("note" IS NULL) = ("pot" IS NULL));

ALTER TABLE "apportion"."plants" ADD CONSTRAINT "plants_height_age" CHECK ("height" <= "age");
