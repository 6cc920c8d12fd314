package stack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"sync"
	"time"

	"eventshop.example/local/broker"
	"eventshop.example/local/postgres"
	"eventshop.example/local/process"
	"eventshop.example/ops/eventshop"
	"eventshop.example/pkg/kafka"
	"eventshop.example/pkg/schema"
)

// Options are options of [Stack.Up].
type Options struct {
	Ports     map[string]int               // by the names of DefaultPorts
	AutoPorts bool                         // use free ports where none is given
	Postgres  postgres.Source              // the origin of the database server; "" is as last time
	Env       map[string]map[string]string // by process; a service's apply to all its replicas; stored
	Once      map[string]map[string]string // the same, until the stack is down; Env wins
	Kafka     KafkaSource                  // which broker; "" is as last time
	Security  kafka.Security               // of an external cluster; none is as last time
	Registry  RegistrySource               // which schema registry; "" is as last time
	Access    schema.Access                // to an external registry; none is as last time
	Compose   bool                         // containers; false is as last time
	Capture   bool                         // Kafka Connect, and Debezium relays; false is as last time
	Images    bool                         // build the containers' images first
	SkipBuild bool                         // use the programs in the state folder
}

// Up builds what has changed and starts what does not run. It returns when every service is ready.
// Options that contradict running processes are an error that changes nothing. If ctx ends first,
// Up stops what it started. After another error the started processes stay for inspection, until
// Down.
func (s *Stack) Up(ctx context.Context, o Options) (err error) {
	began := time.Now()
	release, err := s.exclusive(ctx)
	if err != nil {
		return err
	}
	defer release()
	was := s.file
	s.opened = ""
	if err := s.settleCompose(ctx, o); err != nil {
		return err
	}
	if err := s.settleKafka(o.Kafka, o.Security); err != nil {
		return err
	}
	if err := s.settleRegistry(o.Registry, o.Access); err != nil {
		return err
	}
	if err := s.settleCapture(o.Capture); err != nil {
		return err
	}
	running, err := s.Running()
	if err != nil {
		return err
	}
	if err := s.named(o); err != nil {
		return err
	}
	if len(running) > 0 {
		if err := s.fits(was, o, running); err != nil {
			return err
		}
	}
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = errors.Join(err, s.stopAll(context.WithoutCancel(ctx), running))
		}
	}()
	if s.Known() && len(running) == len(s.expected()) {
		if err := s.nothingFrozen(); err != nil {
			return err
		}
		fmt.Fprintf(s.Out, "the shop is up already (%d processes, state in %s)\n", len(running), s.State)
		// A broker that lost its data has lost its topics.
		if err := broker.CreateTopics(ctx, s.file.Cluster(), eventshop.Topics()...); err != nil {
			return err
		}
		return s.capture(ctx)
	}
	if err := s.prepare(ctx, o, running); err != nil {
		return errors.Join(err, s.giveUpPorts())
	}
	if s.file.Compose {
		if err := s.upContainers(ctx, o.Images); err != nil {
			return err
		}
		if err := s.capture(ctx); err != nil {
			return err
		}
		s.step(began, "the shop is open")
		return nil
	}
	// Building takes longest; the database is prepared at the same time.
	var wg sync.WaitGroup
	var buildErr, baseErr error
	wg.Go(func() {
		if !o.SkipBuild {
			buildErr = s.build(ctx)
		}
	})
	baseErr = s.base(ctx)
	wg.Wait()
	if err := errors.Join(buildErr, baseErr); err != nil {
		return err
	}
	if err := s.save(); err != nil {
		return err
	}
	_, over := s.waiting("waiting until the services are ready", readyWithin)
	err = s.startAll(ctx, append(eventshop.Outside(), s.services()...))
	over()
	if err != nil {
		return err
	}
	if err := s.capture(ctx); err != nil {
		return err
	}
	s.step(began, "the shop is open")
	return nil
}

// prepare decides how the stack runs, checks that it can, and saves it.
func (s *Stack) prepare(ctx context.Context, o Options, running map[string]int) error {
	if err := s.settle(o, running); err != nil {
		return err
	}
	if err := s.checkFree(running); err != nil {
		return err
	}
	if err := s.given(ctx); err != nil {
		return err
	}
	if len(running) == 0 {
		s.begin()
	}
	if err := s.save(); err != nil {
		return err
	}
	if len(running) == 0 {
		s.opened = s.file.Life
	}
	return s.giveUpPorts()
}

func (s *Stack) nothingFrozen() error {
	all, err := s.Status()
	if err != nil {
		return err
	}
	for _, name := range s.expected() {
		if all[name].State == process.Paused {
			return fmt.Errorf("%s is frozen; thaw it with `shop resume %s`", name, name)
		}
	}
	return nil
}

// settle decides ports, addresses and settings.
func (s *Stack) settle(o Options, running map[string]int) error {
	ports, err := s.ports(o.Ports, o.AutoPorts, running)
	if err != nil {
		return err
	}
	s.listen(ports)
	f := &s.file
	f.Root = s.Root
	if f.Env == nil {
		f.Env = map[string]map[string]string{}
	}
	for name, vars := range o.Env {
		if f.Env[name] == nil {
			f.Env[name] = map[string]string{}
		}
		maps.Copy(f.Env[name], vars)
	}
	if len(running) == 0 {
		f.Once = o.Once
	}
	if o.Postgres != "" {
		f.Source = o.Postgres
	}
	if f.Source == "" {
		f.Source = postgres.Auto
	}
	return nil
}

// base starts database, broker and registry in parallel.
func (s *Stack) base(ctx context.Context) error {
	var wg sync.WaitGroup
	var dbErr, brokerErr, registryErr error
	wg.Go(func() { dbErr = s.database(ctx) })
	wg.Go(func() {
		if brokerErr = s.kafka(ctx); brokerErr == nil && s.file.Capture {
			brokerErr = s.startConnect(ctx)
		}
	})
	wg.Go(func() {
		if !s.Elsewhere(Registry) {
			registryErr = s.startAll(ctx, []string{Registry})
		}
	})
	wg.Wait()
	return errors.Join(dbErr, brokerErr, registryErr)
}

func (s *Stack) database(ctx context.Context) error {
	f := &s.file
	cluster, err := postgres.OpenCluster(s.postgresDir())
	if err != nil {
		return err
	}
	if f.Source.External() {
		f.Admin = string(f.Source)
	} else {
		if cluster.Closed != "" {
			fmt.Fprintf(s.Out, "the database's files go to %s: its server's user cannot enter %s\n", cluster.Dir, cluster.Closed)
		}
		say := func(what string) { fmt.Fprintln(s.Out, what) }
		if f.PostgresBin, err = postgres.Binaries(ctx, f.Source, DownloadCommand(s.Self), say); err != nil {
			return err
		}
		if err := cluster.Init(ctx, f.PostgresBin); err != nil {
			return err
		}
		if f.Admin, err = cluster.AdminURL(f.Ports[Postgres]); err != nil {
			return err
		}
		if err := s.startAll(ctx, []string{Postgres}); err != nil {
			return err
		}
	}
	f.DSN, err = cluster.Provision(ctx, f.Admin, !f.Source.External(), eventshop.Services()...)
	return err
}

func (s *Stack) postgresDir() string { return filepath.Join(s.State, Postgres) }

// DownloadCommand returns the command of this program that downloads server binaries as another
// user. The cache folder is appended.
func DownloadCommand(self string) []string { return []string{self, "serve", "postgres-download"} }

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
