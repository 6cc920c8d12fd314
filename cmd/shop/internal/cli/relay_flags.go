package cli

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"eventshop.example/local/stack"
	"eventshop.example/ops/connect"
	"eventshop.example/ops/eventshop"
	"eventshop.example/ops/relay"
	"eventshop.example/pkg/credentials"
	"eventshop.example/pkg/kafka"
)

// relayFlags are the addresses of services, databases, Kafka and Kafka Connect. {service} in them
// stands for each service's name.
type relayFlags struct {
	operator
	connect, brokers, operators            string
	database, passwordFile, workerPassword string
	names                                  string
	within                                 time.Duration
}

func (f *relayFlags) add(cmd *cobra.Command) {
	flag := func(into *string, name, variable, what string) {
		cmd.PersistentFlags().StringVar(into, name, os.Getenv(variable), what+" ("+variable+")")
	}
	flag(&f.connect, "connect", "RELAY_CONNECT_URL", "base URL of a Kafka Connect worker; with it the following are needed too")
	flag(&f.brokers, "brokers", "KAFKA_BROKERS", "host:port,… of the cluster, secured as KAFKA_TLS… and KAFKA_SASL_… say")
	flag(&f.operators, "operators", "RELAY_OPERATORS_URL", "where operators reach {service}, for example http://{service}:9080")
	flag(&f.database, "database", "RELAY_DATABASE_URL", "{service}'s database as a role with REPLICATION, without a password, as this program and the worker reach it")
	flag(&f.passwordFile, "password-file", "RELAY_PASSWORD_FILE", "file with that role's password, for this program")
	flag(&f.workerPassword, "worker-password", "RELAY_WORKER_PASSWORD", "the same for the worker: a reference that it resolves, for example ${dir:/run/secrets:{service}}")
	flag(&f.names, "services", "RELAY_SERVICES", "names with commas between (default "+strings.Join(eventshop.Publishers(), ",")+")")
	cmd.PersistentFlags().DurationVar(&f.within, "within", 2*time.Minute, "how long it may take")
}

// shown returns the named services, or all, for reading, and the client of Kafka Connect. The
// client may be nil: a shop without Kafka Connect can be shown too.
func (f *relayFlags) shown(names []string) ([]relay.Service, *connect.Client, error) {
	if f.connect == "" {
		s, err := f.live()
		if err != nil {
			return nil, nil, err
		}
		if !s.File().Capture {
			all, err := only(s.Relayed(), names)
			return all, nil, err
		}
	}
	var control relay.Control
	all, _, err := f.find(&control)
	if err != nil {
		return nil, nil, err
	}
	all, err = only(all, names)
	return all, control.Connect, err
}

// services returns the named services, or all, and the [relay.Control] that changes them. The
// caller closes the Kafka client.
func (f *relayFlags) services(names []string) ([]relay.Service, relay.Control, error) {
	control := relay.Control{By: f.actor()}
	all, cluster, err := f.find(&control)
	if err != nil {
		return nil, control, err
	}
	if all, err = only(all, names); err != nil {
		return nil, control, err
	}
	control.Kafka, err = cluster.Client()
	return all, control, err
}

func (f *relayFlags) find(control *relay.Control) ([]relay.Service, kafka.Cluster, error) {
	if f.connect == "" {
		s, err := f.live()
		if err != nil {
			return nil, kafka.Cluster{}, err
		}
		if !s.File().Capture {
			return nil, kafka.Cluster{}, errors.New("this shop has no Kafka Connect: shop up --cdc, or name one with --connect")
		}
		all, err := s.Relays()
		control.Connect = connect.NewClient(s.File().URL[stack.Connect])
		return all, s.File().Cluster(), err
	}
	security, err := kafkaSecurity()
	if err != nil {
		return nil, kafka.Cluster{}, err
	}
	control.Connect = connect.NewClient(f.connect)
	names := eventshop.Publishers()
	if f.names != "" {
		names = strings.Split(f.names, ",")
	}
	var all []relay.Service
	for _, name := range names {
		s, err := f.service(strings.TrimSpace(name))
		if err != nil {
			return nil, kafka.Cluster{}, err
		}
		all = append(all, s)
	}
	return all, kafka.Cluster{Brokers: strings.FieldsFunc(f.brokers, func(r rune) bool { return r == ',' }), Security: security}, nil
}

// service returns a service with the addresses of the flags.
func (f *relayFlags) service(name string) (relay.Service, error) {
	of := func(pattern string) string { return strings.ReplaceAll(pattern, "{service}", name) }
	for _, needed := range []struct{ flag, value string }{{"brokers", f.brokers}, {"operators", f.operators}, {"database", f.database}} {
		if needed.value == "" {
			return relay.Service{}, fmt.Errorf("--connect needs --%s", needed.flag)
		}
	}
	u, err := url.Parse(of(f.database))
	if err != nil || u.Host == "" || u.User.Username() == "" {
		return relay.Service{}, fmt.Errorf("--database: %q is no URL of a database with a user", of(f.database))
	}
	if _, given := u.User.Password(); given {
		return relay.Service{}, errors.New("--database: every user of this machine could read the password there; use --password-file")
	}
	port := 5432
	if u.Port() != "" {
		if port, err = strconv.Atoi(u.Port()); err != nil {
			return relay.Service{}, fmt.Errorf("--database: %w", err)
		}
	}
	s := relay.Service{Name: name, Operators: []string{of(f.operators)}, Connector: connect.Connector{
		Host: u.Hostname(), Port: port, Database: strings.TrimPrefix(u.Path, "/"), User: u.User.Username(), Password: of(f.workerPassword),
	}}
	if f.passwordFile != "" {
		password, err := credentials.Password(of(f.passwordFile))
		if err != nil {
			return relay.Service{}, fmt.Errorf("--password-file: %w", err)
		}
		u.User = url.UserPassword(u.User.Username(), password)
	}
	s.Database = u.String()
	return s, nil
}
