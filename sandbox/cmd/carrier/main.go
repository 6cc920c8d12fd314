// Command carrier runs the simulated parcel carrier. It stores its journal in DATA_DIR and listens
// on ADDR. DISPATCH_AFTER and DELIVER_AFTER set how fast parcels move. See the README of the
// sandbox.
package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"eventshop.example/pkg/service"
	"eventshop.example/pkg/telemetry"
	"eventshop.example/sandbox/carrier"
)

// grace exceeds the 10 s that requests in flight get.
const grace = 15 * time.Second

type config struct {
	addr    string // ADDR: host:port
	carrier carrier.Config
}

func main() { service.Main("carrier", "orderId", configure, run) }

func configure(lookup service.Lookup) (config, error) {
	env := service.NewEnv(lookup)
	cfg := config{
		addr: env.Required("ADDR"),
		carrier: carrier.Config{
			Folder:        env.Required("DATA_DIR"),
			DispatchAfter: env.Duration("DISPATCH_AFTER", 2*time.Second),
			DeliverAfter:  env.Duration("DELIVER_AFTER", 2*time.Second),
			Now:           time.Now,
		},
	}
	return cfg, env.Err()
}

func run(ctx context.Context, cfg config) (err error) {
	server, err := carrier.Open(cfg.carrier)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()

	var health service.Health
	health.Add("journal", server.Ready)
	web, _, err := service.Serve("http", cfg.addr, service.Routes(&health, telemetry.NewRegistry(), server.Handler()))
	if err != nil {
		return err
	}
	return service.Run(ctx, slog.Default(), grace, service.Component{Name: "parcels", Run: server.Run}, web)
}
