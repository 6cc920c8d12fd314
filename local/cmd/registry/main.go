// Command registry runs the embedded stack's schema registry as a separate program, for
// environments that cannot get the image of a real one. It reads Karapace's variables for its
// address and its storage, and ignores arguments, so that it can replace Karapace. Its storage does
// not have Karapace's format.
//
//	KARAPACE_HOST                address to listen on, default 127.0.0.1
//	KARAPACE_PORT                default 8081
//	KARAPACE_BOOTSTRAP_URI       brokers, host:port[,host:port], default 127.0.0.1:9092
//	KARAPACE_TOPIC_NAME          default _schemas
//	KARAPACE_REPLICATION_FACTOR  of that topic if it is missing, default 1
//
// It waits for Kafka. It ends with an error if it cannot write or if another registry writes to its
// topic: start it again.
package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"eventshop.example/local/registry"
	"eventshop.example/pkg/service"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	env := service.NewEnv(os.LookupEnv)
	cfg := registry.Config{
		Addr: net.JoinHostPort(env.String("KARAPACE_HOST", "127.0.0.1"), env.String("KARAPACE_PORT", "8081")),
		Topic: registry.Topic{
			Brokers:     strings.Split(env.String("KARAPACE_BOOTSTRAP_URI", "127.0.0.1:9092"), ","),
			Name:        env.String("KARAPACE_TOPIC_NAME", "_schemas"),
			Replication: int16(env.Int("KARAPACE_REPLICATION_FACTOR", 1, 1, 100)),
		},
	}
	err := env.Err()
	if err == nil {
		err = registry.Run(ctx, cfg)
	}
	if err != nil {
		slog.Error("schema registry", "error", err)
		os.Exit(1)
	}
}
