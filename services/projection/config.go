package projection

import (
	"eventshop.example/pkg/service"
)

// Config is all the service can be told from outside. LOG_LEVEL is read by
// service.Main.
type Config struct {
	Addr         string   // ADDR: host:port of HTTP, "127.0.0.1:0" for any free port
	OperatorAddr string   // OPERATOR_ADDR: host:port for operators only (see package operator); default none
	DatabaseURL  string   // DATABASE_URL: postgres://…
	Brokers      []string // KAFKA_BROKERS: host:port, comma between
	RegistryURL  string   // SCHEMA_REGISTRY_URL
}

// ConfigFromEnv reads the environment. Its error names every variable at fault.
func ConfigFromEnv(lookup service.Lookup) (Config, error) {
	env := service.NewEnv(lookup)
	cfg := Config{
		Addr:         env.Required("ADDR"),
		OperatorAddr: env.String("OPERATOR_ADDR", ""),
		DatabaseURL:  env.Required("DATABASE_URL"),
		Brokers:      env.List("KAFKA_BROKERS"),
		RegistryURL:  env.Required("SCHEMA_REGISTRY_URL"),
	}
	return cfg, env.Err()
}
