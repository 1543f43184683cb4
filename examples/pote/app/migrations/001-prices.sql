CREATE TABLE prices (
  collected timestamptz NOT NULL DEFAULT now(),
  name text NOT NULL,
  cents integer NOT NULL
);
