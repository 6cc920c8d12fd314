package shipping

import (
	"errors"
	"log/slog"
	"time"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/kafka"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/service"
)

// Config is all the service can be told from outside.
type Config struct {
	Addr         string // ADDR: host:port of HTTP, "127.0.0.1:0" for any free port
	OperatorAddr string // OPERATOR_ADDR: host:port for operators only (see package operator); default none

	Retry consumer.Retry // RETRY_ATTEMPTS (6), RETRY_BACKOFF_BASE (100ms), RETRY_BACKOFF_MAX (30s): of a record whose handling fails

	Keep postgres.Retention // OUTBOX_KEEP (168h), INBOX_KEEP (744h): of published events and of receipts; zero values are the defaults

	DatabaseURL    string        // DATABASE_URL: postgres://…
	Brokers        []string      // KAFKA_BROKERS: host:port, comma between
	RegistryURL    string        // SCHEMA_REGISTRY_URL
	LogLevel       slog.Level    // LOG_LEVEL: debug, info, warn, error; default info
	CarrierURL     string        // CARRIER_URL: the parcel carrier's API
	CarrierTimeout time.Duration // CARRIER_TIMEOUT: for one request to it, default 2s
	TrackEvery     time.Duration // TRACK_EVERY: between two looks at its tracking feed, default 250ms

	// The circuit breakers around the carrier, one for parcels and one for the feed. Zero
	// values are the defaults.
	BreakerFailures int           // CARRIER_BREAKER_FAILURES: faults that open one, default 5
	BreakerWindow   time.Duration // CARRIER_BREAKER_WINDOW: within this time, default 60s
	BreakerOpenFor  time.Duration // CARRIER_BREAKER_OPEN_FOR: from opening to the probe, default 30s

	Migrations postgres.Migrations // MIGRATIONS: run (default), or wait for `migrate` to be run by somebody

	// Credentials, read from files.
	DatabasePasswordFile string         // DATABASE_PASSWORD_FILE: in place of the URL's password, read for each connection; default none
	Kafka                kafka.Security // KAFKA_TLS, KAFKA_SASL_MECHANISM and what belongs to them; default plain text without a user
	Registry             schema.Access  // SCHEMA_REGISTRY_USERNAME, _PASSWORD_FILE and _CA_FILE; default none
	SchemaGrace          time.Duration  // SCHEMA_GRACE: how long an unknown schema id is looked up before its record is a dead letter, default 30s
}

// ConfigFromEnv reads the environment. Its error names every variable at fault.
func ConfigFromEnv(lookup service.Lookup) (Config, error) {
	env := service.NewEnv(lookup)
	cfg := Config{
		Addr:         env.Required("ADDR"),
		OperatorAddr: env.String("OPERATOR_ADDR", ""),
		Retry: consumer.Retry{
			Attempts: env.Int("RETRY_ATTEMPTS", 6, 1, 1000),
			Backoff: consumer.Backoff{
				Base: env.Duration("RETRY_BACKOFF_BASE", 100*time.Millisecond),
				Max:  env.Duration("RETRY_BACKOFF_MAX", 30*time.Second),
			},
		},
		Keep: postgres.Retention{
			Outbox: env.Duration("OUTBOX_KEEP", postgres.KeepOutbox),
			Inbox:  env.Duration("INBOX_KEEP", postgres.KeepInbox),
		},
		DatabaseURL:    env.Required("DATABASE_URL"),
		Brokers:        env.List("KAFKA_BROKERS"),
		RegistryURL:    env.Required("SCHEMA_REGISTRY_URL"),
		LogLevel:       env.Level("LOG_LEVEL", slog.LevelInfo),
		CarrierURL:     env.Required("CARRIER_URL"),
		CarrierTimeout: env.Duration("CARRIER_TIMEOUT", 2*time.Second),
		TrackEvery:     env.Duration("TRACK_EVERY", 250*time.Millisecond),

		BreakerFailures: env.Int("CARRIER_BREAKER_FAILURES", 5, 1, 1000),
		BreakerWindow:   env.Duration("CARRIER_BREAKER_WINDOW", time.Minute),
		BreakerOpenFor:  env.Duration("CARRIER_BREAKER_OPEN_FOR", 30*time.Second),

		Migrations: postgres.Migrations(env.String("MIGRATIONS", "")),

		DatabasePasswordFile: env.PasswordFile("DATABASE_PASSWORD_FILE"),
		Kafka:                kafka.SecurityFromEnv(env),
		Registry: schema.Access{
			Username:     env.String("SCHEMA_REGISTRY_USERNAME", ""),
			PasswordFile: env.String("SCHEMA_REGISTRY_PASSWORD_FILE", ""),
			CAFile:       env.String("SCHEMA_REGISTRY_CA_FILE", ""),
		},
		SchemaGrace: env.Duration("SCHEMA_GRACE", schema.DefaultGrace),
	}
	return cfg, errors.Join(env.Err(), cfg.Keep.Check(), cfg.Migrations.Check(), cfg.Registry.Check())
}
