package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"eventshop.example/cmd/shop/internal/term"
	"eventshop.example/local/postgres"
	"eventshop.example/local/stack"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/service"
)

// upFlags are the flags of commands that start the shop.
type upFlags struct {
	ports    []string
	allPorts string
	env      []string
	postgres string
	kafka    string
	registry string
	compose  bool
	images   bool
	capture  bool
}

func (f *upFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.ports, "port", nil, "PROCESS=N: where a process listens (repeatable)")
	cmd.Flags().StringVar(&f.allPorts, "ports", "", `"auto": free ports for all that are not given`)
	cmd.Flags().StringArrayVar(&f.env, "env", nil, "PROCESS.NAME=VALUE: a setting of a process (repeatable)")
	cmd.Flags().StringVar(&f.kafka, "kafka", "", "which broker: embedded, apache (Apache Kafka from its jars; needs Java 17 and, the first time, Maven), or HOST:PORT,… of a cluster (default SHOP_KAFKA, else as last time, at first embedded)")
	cmd.Flags().StringVar(&f.registry, "registry", "", "which schema registry: embedded, or the URL of one with Confluent's API; SCHEMA_REGISTRY_USERNAME, …_PASSWORD_FILE and …_CA_FILE say how to be admitted (default SHOP_REGISTRY, else as last time, at first embedded)")
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
	if f.registry == "" {
		f.registry = os.Getenv("SHOP_REGISTRY")
	}
	if f.registry != "" {
		source, err := stack.ParseRegistrySource(f.registry)
		if err != nil {
			return o, fmt.Errorf("--registry or SHOP_REGISTRY: %w", err)
		}
		o.Registry = source
	}
	o.Access = registryAccess()
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

// registryAccess reads the same environment variables as the services.
func registryAccess() schema.Access {
	env := service.NewEnv(os.LookupEnv)
	return schema.Access{
		Username:     env.String("SCHEMA_REGISTRY_USERNAME", ""),
		PasswordFile: env.String("SCHEMA_REGISTRY_PASSWORD_FILE", ""),
		CAFile:       env.String("SCHEMA_REGISTRY_CA_FILE", ""),
	}
}

func upCommand(e *env) *cobra.Command {
	var flags upFlags
	var detach bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Builds and starts the shop; Ctrl-C stops it again, unless --detach is given",
		Long: `Builds what has changed, starts what does not run, and says where the shop listens. Without
--detach it stays until Ctrl-C, or until its terminal is closed, and then stops the shop. It
returns when another command takes the shop down. A shop that was up before is left as it is;
flags that differ from how it runs are an error.`,
		Args: cobra.NoArgs,
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
			if err := printOpen(e.out, s); err != nil && s.Opened() && !detach {
				return errors.Join(err, e.stop(cmd.Context(), s))
			} else if err != nil || detach {
				return err
			}
			return e.stay(cmd.Context(), s)
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&detach, "detach", false, "return when the shop is open and leave it running")
	return cmd
}

// stay keeps a shop open that this command has started, until Ctrl-C, then stops it. It returns
// earlier if another command takes the shop down.
func (e *env) stay(ctx context.Context, s *stack.Stack) error {
	if !s.Opened() {
		fmt.Fprintln(e.out, "\nThe shop was up before and stays up; `shop down` stops it.")
		return nil
	}
	return errors.Join(e.wait(ctx, s), e.stop(ctx, s))
}

// wait returns when ctx has ended, or when the shop that this command has started no longer exists.
func (e *env) wait(ctx context.Context, s *stack.Stack) error {
	fmt.Fprintln(e.out, "\nCtrl-C stops the shop; its data stays.")
	_, err := s.AwaitEnd(ctx)
	return err
}

// stop stops the shop that this command has started, also if ctx has ended. It does not stop a shop
// that another command has started since.
func (e *env) stop(ctx context.Context, s *stack.Stack) error {
	fate, err := s.Fate()
	if err == nil && fate == stack.StillOwn {
		fmt.Fprintln(e.out, "\nstopping")
		p := term.Start(e.errOut, "stopping the shop's processes", stack.StopWithin)
		fate, err = s.DownOwn(context.WithoutCancel(ctx))
		p.Stop()
	}
	switch {
	case err != nil:
		return err
	case fate == stack.TakenDown:
		fmt.Fprintln(e.out, "\nAnother command has taken the shop down.")
	case fate == stack.OpenedAnew:
		fmt.Fprintln(e.out, "\nThe shop was taken down, and another command has opened it again: that one stays up; `shop down` stops it.")
	}
	return nil
}
