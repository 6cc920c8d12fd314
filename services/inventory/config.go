package inventory

import (
	"strconv"
	"strings"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/service"
)

// Config is all the service can be told from outside. LOG_LEVEL is read by
// service.Main.
type Config struct {
	Addr         string           // ADDR: host:port of HTTP, "127.0.0.1:0" for any free port
	OperatorAddr string           // OPERATOR_ADDR: host:port for operators only (see package operator); default none
	DatabaseURL  string           // DATABASE_URL: postgres://…
	Brokers      []string         // KAFKA_BROKERS: host:port, comma between
	RegistryURL  string           // SCHEMA_REGISTRY_URL
	InitialStock map[string]int64 // INITIAL_STOCK: SKU=pieces, comma between; stocked once, default none
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
	if err := env.Err(); err != nil {
		return cfg, err
	}
	initial, _ := lookup("INITIAL_STOCK")
	var err error
	cfg.InitialStock, err = parseStock(initial)
	return cfg, err
}

func parseStock(list string) (map[string]int64, error) {
	stock := map[string]int64{}
	for entry := range strings.SplitSeq(list, ",") {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		sku, pieces, ok := strings.Cut(entry, "=")
		n, err := strconv.ParseInt(pieces, 10, 64)
		if !ok || sku == "" || err != nil || n < 0 {
			return nil, errs.New(errs.Invalid, "INITIAL_STOCK: %q is not SKU=pieces", entry)
		}
		stock[sku] = n
	}
	return stock, nil
}
