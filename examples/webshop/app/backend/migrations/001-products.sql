CREATE TABLE products (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL UNIQUE,
  cents integer NOT NULL CHECK (cents >= 0)
);

INSERT INTO products (name, cents) VALUES
  ('Brass key', 1200),
  ('Feather pillow', 3950),
  ('Guest book', 2480);
