#!/bin/sh
# Make the cluster at the first start, as the official image does, then serve it.
set -eu
data=/var/lib/postgresql/data
if [ ! -s "$data/PG_VERSION" ]; then
    initdb --pgdata "$data" --username "$POSTGRES_USER" --pwfile "$POSTGRES_PASSWORD_FILE" \
        --auth-host scram-sha-256 --auth-local trust --encoding UTF8 --no-locale
    # One process alone, so that nobody connects before the database is there.
    echo "CREATE DATABASE $POSTGRES_DB" \
        | postgres --single -D "$data" -c unix_socket_directories=/tmp postgres > /dev/null
fi
exec postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories=/tmp
