-- Two providers may call what is rented of them the same.
DROP INDEX {{gpus_instance_id}};

CREATE UNIQUE INDEX {{bare:gpus_rental}} ON {{gpus}} ("provider", "instance_id");
