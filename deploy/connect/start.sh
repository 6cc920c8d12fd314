#!/usr/bin/env bash
# Starts a worker of Kafka Connect in Debezium's image, by its own configuration alone.
set -euo pipefail
# Connectors name these files. Kafka's provider takes a line's end for a part of the
# password, and editors like to put one there.
mkdir -p /tmp/secrets
for f in /run/secrets/*; do
  password=$(cat "$f")
  printf %s "${password%$'\r'}" >"/tmp/secrets/${f##*/}"
done
# Of the image's many connectors only this one: each that is found costs memory.
mkdir -p /tmp/plugins
ln -sfn /kafka/connect/debezium-connector-postgres /tmp/plugins/
exec java ${KAFKA_HEAP_OPTS:-} -Dlog4j2.configurationFile=/etc/eventshop/log4j2.properties \
  -cp '/kafka/libs/*' org.apache.kafka.connect.cli.ConnectDistributed /etc/eventshop/connect.properties
