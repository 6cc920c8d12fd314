package participant

import (
	"errors"
	"slices"
	"time"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/kafka"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/service"
)

// Config is the settings that every participant has. A service embeds it in a Config of its own and
// adds its own fields. [Config.Settings] describes the fields.
type Config struct {
	Addr         string
	OperatorAddr string

	DatabaseURL          string
	DatabasePasswordFile string
	Migrations           postgres.Migrations // "" is postgres.MigrationsRun

	Brokers []string
	Kafka   kafka.Security

	RegistryURL string
	Registry    schema.Access
	SchemaGrace time.Duration

	Retry consumer.Retry
	Keep  postgres.Retention
}

// Settings declares the variables of the environment, other than LOG_LEVEL, which [service.Main]
// reads. A service's own Config appends its own.
func (c *Config) Settings() []service.Setting {
	return slices.Concat(
		[]service.Setting{
			service.Required("ADDR", &c.Addr, "host:port of HTTP; port 0 takes a free one"),
			service.Text("OPERATOR_ADDR", &c.OperatorAddr, "none", "host:port where operators list and decide about dead letters, "+
				"and find the profiles of the process at `/debug/pprof/`; for a network of theirs only"),
		},
		database(&c.DatabaseURL, &c.DatabasePasswordFile),
		[]service.Setting{
			service.Text("MIGRATIONS", &c.Migrations, "run", "`run` migrates the database at the start; `wait` waits until the job `migrate` has"),
			service.RequiredList("KAFKA_BROKERS", &c.Brokers, "host:port of each broker to begin with"),
		},
		c.Kafka.Settings(),
		[]service.Setting{
			service.Required("SCHEMA_REGISTRY_URL", &c.RegistryURL, "of a registry with Confluent's API"),
			service.Text("SCHEMA_REGISTRY_USERNAME", &c.Registry.Username, "none", "of HTTP basic authentication"),
			service.File("SCHEMA_REGISTRY_PASSWORD_FILE", &c.Registry.PasswordFile, "none", "required with a user name; read for each request"),
			service.File("SCHEMA_REGISTRY_CA_FILE", &c.Registry.CAFile, "the system's roots", "PEM; the authorities that the registry's certificate may come from"),
			service.Duration("SCHEMA_GRACE", &c.SchemaGrace, schema.DefaultGrace, "how long an unknown schema id is looked up before its record is a dead letter"),
			service.Int("RETRY_ATTEMPTS", &c.Retry.Attempts, 6, 1, 1000, "of a record whose handling fails, the first included; then it is a dead letter"),
			service.Duration("RETRY_BACKOFF_BASE", &c.Retry.Backoff.Base, 100*time.Millisecond, "wait after the first attempt, doubling"),
			service.Duration("RETRY_BACKOFF_MAX", &c.Retry.Backoff.Max, 30*time.Second, "longest wait between two attempts"),
			service.Duration("OUTBOX_KEEP", &c.Keep.Outbox, postgres.KeepOutbox, "how long published events stay, which can be published again"),
			service.Duration("INBOX_KEEP", &c.Keep.Inbox, postgres.KeepInbox, "how long receipts stay, which tell a message that comes again; "+
				"at least a day, and a day more than `OUTBOX_KEEP`"),
		},
	)
}

// Check returns an error that names every variable whose value does not fit the other variables or
// the files that they name. It returns nil when there is none.
func (c *Config) Check() error {
	return errors.Join(c.Kafka.Check(), c.Keep.Check(), c.Migrations.Check(), c.Registry.Check())
}

// database declares the variables of the connection to the database, for the service and for the
// job `migrate`.
func database(url, passwordFile *string) []service.Setting {
	return []service.Setting{
		service.Required("DATABASE_URL", url, "`postgres://…`"),
		service.PasswordFile("DATABASE_PASSWORD_FILE", passwordFile, "in place of the password in `DATABASE_URL`; read for each connection"),
	}
}

// Breaker is the settings of a circuit breaker. Zero values are the defaults of package breaker.
type Breaker struct {
	Failures int
	Window   time.Duration
	OpenFor  time.Duration
}

// Settings declares the variables of the environment. Their names begin with prefix, such as
// "BANK_BREAKER".
func (b *Breaker) Settings(prefix string) []service.Setting {
	return []service.Setting{
		service.Int(prefix+"_FAILURES", &b.Failures, 5, 1, 1000, "operations without a decision that open the circuit breaker"),
		service.Duration(prefix+"_WINDOW", &b.Window, time.Minute, "within this time, which rolls"),
		service.Duration(prefix+"_OPEN_FOR", &b.OpenFor, 30*time.Second, "from opening to the probe"),
	}
}
