"""Moving a store's database to another place, from one kind of database to the other, while files go on being read."""
