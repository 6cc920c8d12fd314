#!/usr/bin/env bash
# Makes the database of one service and its roles, in a fresh server. The postgres image runs
# it as the superuser when it is mounted into /docker-entrypoint-initdb.d; elsewhere run it
# with psql's own variables (PGHOST, PGPORT, PGUSER). It may run again: passwords are set to
# what the files hold.
#
#   SERVICE      order, payment, …: name of the database and first part of the roles' names
#   SECRETS_DIR  folder of <service>_migrator_password, _app_password, _cdc_password;
#                default /run/secrets; the last may be missing, then there is no such role
#
# Roles: <service>_owner owns everything and cannot log in; _migrator acts as the owner and is
# used by the migrate job alone; _app is the service's, _cdc reads the log. What the last two
# may do with tables is granted by the migrate job.
set -euo pipefail

: "${SERVICE:?is the name of the service}"
[[ $SERVICE =~ ^[a-z][a-z0-9_]*$ ]] || { echo "SERVICE must be lower-case letters, digits and underscores" >&2; exit 1; }
secrets=${SECRETS_DIR:-/run/secrets}
superuser=${POSTGRES_USER:-${PGUSER:-postgres}}

run() { psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$superuser" --dbname postgres "$@"; }

# psql reads the password from the file: arguments show in the list of processes. The
# statement that sets it stays out of the server's log.
role() { # name, options
  local name=$1 options=$2 file=$secrets/$1_password
  [[ -r $file && -s $file ]] || { echo "$file is missing, empty, or closed to $(id -un)" >&2; exit 1; }
  run <<SQL
SELECT 'CREATE ROLE $name' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '$name') \gexec
\set password \`tr -d '\r' <'$file'\`
SET log_statement = 'none';
SET log_min_error_statement = 'panic';
SET log_min_duration_statement = -1;
ALTER ROLE $name LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE $options PASSWORD :'password';
SQL
}

run <<SQL
SELECT 'CREATE ROLE ${SERVICE}_owner NOLOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '${SERVICE}_owner') \gexec
SELECT 'CREATE DATABASE "$SERVICE"' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '$SERVICE') \gexec
ALTER DATABASE "$SERVICE" OWNER TO ${SERVICE}_owner;
REVOKE ALL ON DATABASE "$SERVICE", postgres, template1 FROM PUBLIC;
SQL
role "${SERVICE}_migrator" NOREPLICATION
role "${SERVICE}_app" NOREPLICATION
roles=${SERVICE}_migrator,${SERVICE}_app
if [[ -e $secrets/${SERVICE}_cdc_password ]]; then
  role "${SERVICE}_cdc" REPLICATION
  roles+=,${SERVICE}_cdc
fi
run <<SQL
GRANT ${SERVICE}_owner TO ${SERVICE}_migrator;
GRANT CONNECT ON DATABASE "$SERVICE" TO $roles;
SQL
