package shipping

import (
	"log/slog"
	"time"

	"eventshop.example/pkg/service"
)

// Config is all the service can be told from outside.
type Config struct {
	Addr           string        // ADDR: host:port of HTTP, "127.0.0.1:0" for any free port
	DatabaseURL    string        // DATABASE_URL: postgres://…
	Brokers        []string      // KAFKA_BROKERS: host:port, comma between
	RegistryURL    string        // SCHEMA_REGISTRY_URL
	LogLevel       slog.Level    // LOG_LEVEL: debug, info, warn, error; default info
	CarrierURL     string        // CARRIER_URL: the parcel carrier's API
	CarrierTimeout time.Duration // CARRIER_TIMEOUT: for one request to it, default 2s
	TrackEvery     time.Duration // TRACK_EVERY: between two looks at its tracking feed, default 250ms
}

// ConfigFromEnv reads the environment. Its error names every variable at fault.
func ConfigFromEnv(lookup service.Lookup) (Config, error) {
	env := service.NewEnv(lookup)
	cfg := Config{
		Addr:           env.Required("ADDR"),
		DatabaseURL:    env.Required("DATABASE_URL"),
		Brokers:        env.List("KAFKA_BROKERS"),
		RegistryURL:    env.Required("SCHEMA_REGISTRY_URL"),
		LogLevel:       env.Level("LOG_LEVEL", slog.LevelInfo),
		CarrierURL:     env.Required("CARRIER_URL"),
		CarrierTimeout: env.Duration("CARRIER_TIMEOUT", 2*time.Second),
		TrackEvery:     env.Duration("TRACK_EVERY", 250*time.Millisecond),
	}
	return cfg, env.Err()
}
