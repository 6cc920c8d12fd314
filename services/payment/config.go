package payment

import (
	"errors"
	"time"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/kafka"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/service"
)

// Config is all the service can be told from outside. LOG_LEVEL is read by
// service.Main.
type Config struct {
	Addr         string // ADDR: host:port of HTTP; port 0 for any free one
	OperatorAddr string // OPERATOR_ADDR: host:port for operators only (see package operator); default none

	Retry consumer.Retry // RETRY_ATTEMPTS (6), RETRY_BACKOFF_BASE (100ms), RETRY_BACKOFF_MAX (30s): of a record whose handling fails

	Keep postgres.Retention // OUTBOX_KEEP (168h), INBOX_KEEP (744h): of published events and of receipts; zero values are the defaults

	DatabaseURL    string        // DATABASE_URL: postgres://…
	Brokers        []string      // KAFKA_BROKERS: host:port, comma between
	RegistryURL    string        // SCHEMA_REGISTRY_URL
	GatewayURL     string        // GATEWAY_URL: the card gateway's API
	GatewayTimeout time.Duration // GATEWAY_TIMEOUT: for one request to it, default 2s

	RefundMaxAttempts int           // REFUND_MAX_ATTEMPTS: then a person is asked, default 8
	RefundBackoffBase time.Duration // REFUND_BACKOFF_BASE: wait after the first attempt, doubling, default 500ms
	RefundBackoffMax  time.Duration // REFUND_BACKOFF_MAX: longest wait between attempts, default 30s
	RefundDeadline    time.Duration // REFUND_DEADLINE: from then on refused attempts count too, default 1h

	// The circuit breaker around the gateway. Zero values are the defaults.
	BreakerFailures int           // GATEWAY_BREAKER_FAILURES: faults that open it, default 5
	BreakerWindow   time.Duration // GATEWAY_BREAKER_WINDOW: within this time, default 60s
	BreakerOpenFor  time.Duration // GATEWAY_BREAKER_OPEN_FOR: from opening to the probe, default 30s

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
		DatabaseURL:       env.Required("DATABASE_URL"),
		Brokers:           env.List("KAFKA_BROKERS"),
		RegistryURL:       env.Required("SCHEMA_REGISTRY_URL"),
		GatewayURL:        env.Required("GATEWAY_URL"),
		GatewayTimeout:    env.Duration("GATEWAY_TIMEOUT", 2*time.Second),
		RefundMaxAttempts: env.Int("REFUND_MAX_ATTEMPTS", 8, 1, 1000),
		RefundBackoffBase: env.Duration("REFUND_BACKOFF_BASE", 500*time.Millisecond),
		RefundBackoffMax:  env.Duration("REFUND_BACKOFF_MAX", 30*time.Second),
		RefundDeadline:    env.Duration("REFUND_DEADLINE", time.Hour),
		BreakerFailures:   env.Int("GATEWAY_BREAKER_FAILURES", 5, 1, 1000),
		BreakerWindow:     env.Duration("GATEWAY_BREAKER_WINDOW", time.Minute),
		BreakerOpenFor:    env.Duration("GATEWAY_BREAKER_OPEN_FOR", 30*time.Second),

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
