package cli

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"eventshop.example/local/postgres"
	"eventshop.example/local/stack"
)

// upFlags are the flags of commands that bring the shop up.
type upFlags struct {
	ports    []string
	allPorts string
	env      []string
	postgres string
	kafka    string
	compose  bool
	images   bool
	capture  bool
}

func (f *upFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.ports, "port", nil, "PROCESS=N: where a process listens (repeatable)")
	cmd.Flags().StringVar(&f.allPorts, "ports", "", `"auto": free ports for all that are not given`)
	cmd.Flags().StringArrayVar(&f.env, "env", nil, "PROCESS.NAME=VALUE: a setting of a process (repeatable)")
	cmd.Flags().StringVar(&f.kafka, "kafka", "", "which broker: embedded, apache (Apache Kafka from its jars; needs Java 17 and, the first time, Maven), or HOST:PORT,… of a cluster (default SHOP_KAFKA, else as last time, at first embedded)")
	cmd.Flags().BoolVar(&f.compose, "compose", false, "run deploy/compose.yaml: every process in a container, by Docker (later as last time)")
	cmd.Flags().BoolVar(&f.images, "build", false, "with --compose: build the images first; without it only those that are missing")
	cmd.Flags().BoolVar(&f.capture, "cdc", false, "start Kafka Connect too and have Debezium relay the events (with --compose, or --kafka=apache or HOST:PORT; later as last time)")
	cmd.Flags().StringVar(&f.postgres, "postgres", "", "where PostgreSQL comes from: auto, download, the folder of its binaries, or the URL of a server (default SHOP_POSTGRES, else as last time, at first auto)")
}

func (f *upFlags) options() (stack.Options, error) {
	o := stack.Options{
		Ports: map[string]int{}, Env: map[string]map[string]string{},
		AutoPorts: f.allPorts == "auto", Compose: f.compose, Images: f.images, Capture: f.capture,
	}
	if f.postgres == "" {
		f.postgres = os.Getenv("SHOP_POSTGRES")
	}
	if f.postgres != "" {
		source, err := postgres.ParseSource(f.postgres)
		if err != nil {
			return o, fmt.Errorf("--postgres or SHOP_POSTGRES: %w", err)
		}
		o.Postgres = source
	}
	if f.kafka == "" {
		f.kafka = os.Getenv("SHOP_KAFKA")
	}
	if f.kafka != "" {
		source, err := stack.ParseKafkaSource(f.kafka)
		if err != nil {
			return o, fmt.Errorf("--kafka or SHOP_KAFKA: %w", err)
		}
		o.Kafka = source
	}
	var err error
	if o.Security, err = kafkaSecurity(); err != nil {
		return o, err
	}
	if f.allPorts != "" && f.allPorts != "auto" {
		return o, fmt.Errorf(`--ports: %q is not "auto"`, f.allPorts)
	}
	for _, p := range f.ports {
		name, port, _ := strings.Cut(p, "=")
		n, err := strconv.Atoi(port)
		if err != nil || n < 1 || n > 65535 {
			return o, fmt.Errorf("--port: %q is not PROCESS=N", p)
		}
		o.Ports[name] = n
	}
	for _, v := range f.env {
		key, value, ok := strings.Cut(v, "=")
		name, variable, dot := strings.Cut(key, ".")
		if !ok || !dot {
			return o, fmt.Errorf("--env: %q is not PROCESS.NAME=VALUE", v)
		}
		if o.Env[name] == nil {
			o.Env[name] = map[string]string{}
		}
		o.Env[name][variable] = value
	}
	return o, nil
}

func upCommand(e *env) *cobra.Command {
	var flags upFlags
	var detach bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Builds and starts the shop; without --detach it stays until Ctrl-C and then stops it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.open()
			if err != nil {
				return err
			}
			o, err := flags.options()
			if err != nil {
				return err
			}
			if err := s.Up(cmd.Context(), o); err != nil {
				return err
			}
			if detach {
				return nil
			}
			return stay(cmd.Context(), e, s)
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&detach, "detach", false, "return when the shop is open and leave it running")
	return cmd
}

// stay keeps the shop open until Ctrl-C, then stops it.
func stay(ctx context.Context, e *env, s *stack.Stack) error {
	fmt.Fprintln(e.out, "\nCtrl-C stops the shop; its data stays.")
	<-ctx.Done()
	fmt.Fprintln(e.out, "\nstopping")
	return s.Down(context.WithoutCancel(ctx))
}
