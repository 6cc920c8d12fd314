// Command gateway runs the simulated card gateway. It stores its ledger in DATA_DIR and listens on
// ADDR. See the README of the sandbox.
package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"eventshop.example/pkg/service"
	"eventshop.example/pkg/telemetry"
	"eventshop.example/sandbox/gateway"
)

// grace exceeds the 10 s that requests in flight get.
const grace = 15 * time.Second

type config struct {
	addr    string // ADDR: host:port
	dataDir string // DATA_DIR: folder of the ledger
}

func main() { service.Main("gateway", "orderId", configure, run) }

func configure(lookup service.Lookup) (config, error) {
	env := service.NewEnv(lookup)
	cfg := config{addr: env.Required("ADDR"), dataDir: env.Required("DATA_DIR")}
	return cfg, env.Err()
}

func run(ctx context.Context, cfg config) (err error) {
	server, err := gateway.Open(cfg.dataDir, time.Now)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()

	var health service.Health
	health.Add("ledger", server.Ready)
	web, _, err := service.Serve("http", cfg.addr, service.Routes(&health, telemetry.NewRegistry(), server.Handler()))
	if err != nil {
		return err
	}
	return service.Run(ctx, slog.Default(), grace, service.Component{Name: "ledger", Run: server.Run}, web)
}
