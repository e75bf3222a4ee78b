-- Two providers may call what is rented of them the same.
-- CASCADE, because there are databases that take a unique index for a constraint.
DROP INDEX {{gpus_instance_id}} CASCADE;

CREATE UNIQUE INDEX {{bare:gpus_rental}} ON {{gpus}} ("provider" NULLS FIRST, "instance_id" NULLS FIRST);
