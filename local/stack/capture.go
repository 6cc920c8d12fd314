package stack

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"eventshop.example/local/apache"
	"eventshop.example/local/jars"
	"eventshop.example/ops/connect"
	"eventshop.example/ops/eventshop"
	"eventshop.example/ops/relay"
	"eventshop.example/pkg/kafka"
)

// captureWithin bounds the change of the relays at the end of Up.
const captureWithin = 2 * time.Minute

// settleCapture applies the choice of change data capture. A stack that has it keeps it.
func (s *Stack) settleCapture(chosen bool) error {
	f := &s.file
	if chosen && !f.Compose && (f.KafkaSource == "" || f.KafkaSource == Embedded) {
		return errors.New("--cdc needs Kafka Connect, which the embedded broker does not carry (it has no transactions of several producers): use --kafka=apache, --kafka=HOST:PORT or --compose")
	}
	if chosen && f.KafkaSecurity != (kafka.Security{}) {
		return errors.New("--cdc: Kafka Connect is not told how a cluster is secured; run one of your own and use `shop relay use debezium --connect URL`")
	}
	f.Capture = f.Capture || chosen
	return nil
}

// worker returns the stack's Kafka Connect.
func (s *Stack) worker() apache.Worker {
	f := s.file
	return apache.Worker{Java: f.Java, Jars: f.ConnectJars, Dir: filepath.Join(s.State, Connect), Port: f.Ports[Connect], Brokers: f.Kafka}
}

func (s *Stack) startConnect(ctx context.Context) (err error) {
	f := &s.file
	if f.Java, err = jars.Java(ctx); err != nil {
		return err
	}
	if f.ConnectJars, err = jars.Fetch(ctx, jars.Connect, func(what string) { fmt.Fprintln(s.Out, what) }); err != nil {
		return err
	}
	return s.startAll(ctx, []string{Connect})
}

// capture makes Debezium relay the services' events, in a stack with Kafka Connect.
func (s *Stack) capture(ctx context.Context) error {
	if !s.file.Capture {
		return nil
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, captureWithin)
	defer cancel()
	services, err := s.Relays()
	if err != nil {
		return err
	}
	client, err := s.file.Cluster().Client()
	if err != nil {
		return err
	}
	defer client.Close()
	control := relay.Control{Connect: connect.NewClient(s.file.URL[Connect]), Kafka: client, By: "shop up"}
	failures := make([]error, len(services))
	var wg sync.WaitGroup
	for i, service := range services {
		wg.Go(func() { failures[i] = control.UseDebezium(ctx, service) })
	}
	wg.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}
	s.step(began, "Debezium relays")
	return nil
}

// Relayed returns the services that publish events. The result is enough to read the state of their
// relays, not to change them.
func (s *Stack) Relayed() []relay.Service {
	var all []relay.Service
	for _, name := range eventshop.Publishers() {
		r := relay.Service{Name: name, Database: s.file.DSN[name]}
		for _, process := range s.replicas(name) {
			r.Operators = append(r.Operators, s.file.Operators[process])
		}
		all = append(all, r)
	}
	return all
}

// Relays returns the services whose relay can change.
func (s *Stack) Relays() ([]relay.Service, error) {
	all := s.Relayed()
	for i := range all {
		name := all[i].Name
		if s.file.Compose {
			// The database's address as the worker sees it; the worker's start script provides the
			// passwords.
			all[i].Connector = connect.Connector{Host: ownDatabase(name), Port: 5432, Database: name, User: name + "_cdc",
				Password: "${dir:/tmp/secrets:" + name + "_cdc_password}"}
			continue
		}
		if err := s.asSuperuser(&all[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// asSuperuser makes slot and connector of a service use the only role that may read the log in a
// stack of programs. The worker reads its password from a file.
func (s *Stack) asSuperuser(r *relay.Service) error {
	admin, err := url.Parse(s.file.Admin)
	if err != nil {
		return fmt.Errorf("the database server's address: %w", err)
	}
	own, err := url.Parse(s.file.DSN[r.Name])
	if err != nil {
		return fmt.Errorf("the address of %s's database: %w", r.Name, err)
	}
	admin.Path = own.Path
	r.Database = admin.String()
	port, err := strconv.Atoi(admin.Port())
	if err != nil {
		port = 5432
	}
	password, _ := admin.User.Password()
	dir := filepath.Join(s.State, Connect, "secrets")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "postgres"), []byte(password), 0o600); err != nil {
		return err
	}
	r.Connector = connect.Connector{Host: admin.Hostname(), Port: port, Database: own.Path[1:], User: admin.User.Username(),
		Password: "${dir:" + dir + ":postgres}"}
	return nil
}
