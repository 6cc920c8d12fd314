module sample

go 1.26.0

require github.com/jackc/pgx/v5 v5.0.0

replace github.com/jackc/pgx/v5 => ../pgx
