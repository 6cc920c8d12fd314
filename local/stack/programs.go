package stack

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"time"

	"eventshop.example/local/postgres"
	"eventshop.example/local/process"
)

// programs runs the processes of a stack as programs on this machine.
type programs struct {
	stack  *Stack
	runner process.Runner
}

func (p programs) Status(names []string) (map[string]process.Status, error) {
	all := map[string]process.Status{}
	for _, name := range names {
		st, err := p.runner.Status(name)
		if err != nil {
			return nil, err
		}
		all[name] = st
	}
	return all, nil
}

func (p programs) Start(ctx context.Context, name string) error {
	spec, err := p.stack.spec(name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	if name == Postgres {
		return postgres.Start(ctx, p.runner, spec, p.stack.file.Admin)
	}
	if name == Broker && p.stack.file.KafkaSource == Apache {
		if err := p.stack.node().Prepare(ctx); err != nil {
			return err
		}
	}
	if name == Connect {
		if err := p.stack.worker().Prepare(); err != nil {
			return err
		}
	}
	_, err = p.runner.Start(spec)
	return err
}

func (p programs) AwaitReady(ctx context.Context, name string, probe func(context.Context) error) error {
	return p.runner.AwaitReady(ctx, name, probe)
}

func (p programs) Stop(ctx context.Context, name string) error {
	_, err := p.runner.Stop(ctx, name, stopWithin)
	return err
}

func (p programs) Kill(ctx context.Context, name string) error { return p.runner.Kill(ctx, name) }
func (p programs) Pause(name string) error                     { return p.runner.Pause(name) }
func (p programs) Resume(name string) error                    { return p.runner.Resume(name) }

// Forget does nothing: a program leaves only its log.
func (p programs) Forget(context.Context, string) error { return nil }

func (p programs) Empty(_ context.Context, name string) error {
	return os.RemoveAll(p.stack.DataDir(name))
}

// Logs reads the file that the program writes.
func (p programs) Logs(ctx context.Context, name string, out io.Writer, lines int, follow bool) error {
	f, err := os.Open(p.stack.LogFile(name))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := tail(out, f, lines); err != nil || !follow {
		return err
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := io.Copy(out, f); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// tail writes the last lines of a file and leaves the file at its end.
func tail(out io.Writer, f io.Reader, lines int) error {
	var last []string
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		if last = append(last, in.Text()); len(last) > lines {
			last = last[1:]
		}
	}
	for _, l := range last {
		fmt.Fprintln(out, l)
	}
	return in.Err()
}

// spec returns the program, arguments and environment of a process.
func (s *Stack) spec(name string) (process.Spec, error) {
	f := s.file
	port := fmt.Sprint(f.Ports[name])
	data := s.DataDir(name)
	spec := process.Spec{Name: name, Log: s.LogFile(name), Dir: s.State}
	env := map[string]string{"ADDR": address(f.Ports[name])}
	service := "" // the service of which the process is a replica
	switch name {
	case Postgres:
		cluster, err := postgres.OpenCluster(s.postgresDir())
		if err != nil {
			return spec, err
		}
		return cluster.Spec(f.PostgresBin, f.Ports[Postgres], spec.Log)
	case Broker:
		if f.KafkaSource == Apache {
			return s.node().Spec(name, spec.Log), nil
		}
		fallthrough
	case Registry:
		spec.Path, spec.Args = s.Self, []string{"serve", name, "--listen", port, "--data", data}
	case Connect:
		return s.worker().Spec(name, spec.Log), nil
	case Gateway, Carrier, Mailbox:
		spec.Path, env["DATA_DIR"] = s.bin(name), data
	default:
		service = serviceOf(name)
		spec.Path = s.bin(service)
		env["OPERATOR_ADDR"] = address(f.Ports[operator(name)])
		env["DATABASE_URL"] = f.DSN[service]
		env["KAFKA_BROKERS"] = strings.Join(f.Kafka, ",")
		maps.Copy(env, f.KafkaSecurity.Env())
		maps.Copy(env, f.registryEnv())
		env["GATEWAY_URL"] = f.URL[Gateway]
		env["CARRIER_URL"] = f.URL[Carrier]
		env["MAILBOX_URL"] = f.URL[Mailbox]
		env["ORDER_URL"] = f.URL["order"]
		// The services share a small machine; in return, the garbage collector works a little
		// more.
		env["GOMEMLIMIT"] = "48MiB"
	}
	if service == "inventory" {
		env["INITIAL_STOCK"] = "WIDGET-01=100,GADGET-05=100,UNICORN-00=1"
	}
	spec.Env = os.Environ()
	// A service's settings apply to its replicas too. A replica's own settings come last and win.
	for _, vars := range []map[string]string{env, f.Once[service], f.Once[name], f.Env[service], f.Env[name]} {
		for k, v := range vars {
			spec.Env = append(spec.Env, k+"="+v)
		}
	}
	return spec, nil
}
