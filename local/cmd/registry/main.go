// Command registry is the embedded stack's schema registry as a program of its own, for
// places where the image of a real one cannot be had. It understands the variables of
// Karapace that say where to listen, and ignores arguments, so that it can be started in
// Karapace's place.
//
//	KARAPACE_HOST      address to listen on, default 127.0.0.1
//	KARAPACE_PORT      default 8081
//	REGISTRY_DATA_DIR  folder of its journal, default /var/lib/registry
package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"eventshop.example/local/registry"
	"eventshop.example/pkg/service"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	env := service.NewEnv(os.LookupEnv)
	err := registry.Run(ctx, registry.Config{
		Addr:    net.JoinHostPort(env.String("KARAPACE_HOST", "127.0.0.1"), env.String("KARAPACE_PORT", "8081")),
		DataDir: env.String("REGISTRY_DATA_DIR", "/var/lib/registry"),
	})
	if err != nil {
		slog.Error("schema registry", "error", err)
		os.Exit(1)
	}
}
