// Package secured tests that the five programs, configured only by environment variables, use the
// security of their database, brokers and registry.
package secured

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"eventshop.example/local/apache"
	"eventshop.example/local/broker"
	"eventshop.example/local/jars"
	"eventshop.example/local/process"
	"eventshop.example/ops/eventshop"
	"eventshop.example/pkg/kafka"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres/server"
	"eventshop.example/pkg/schema/schematest"
)

// The passwords; no log may contain one.
const (
	databasePassword = "hunter2-database"
	kafkaPassword    = "hunter2-kafka"
	registryPassword = "hunter2-registry"
)

func TestServicesWithCredentials(t *testing.T) {
	ca := kafkatest.NewAuthority(t)
	certFile, keyFile := ca.Issue(t, "service")
	registryURL, registryCA := startRegistry(t)
	brokers := startKafka(t, ca)
	_, databases := pgtest.Strict(t, databasePassword, eventshop.Services()...)
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin, "./cmd/shop")
	for _, name := range eventshop.Services() {
		build.Args = append(build.Args, "./services/"+name+"/cmd/"+name)
	}
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the services: %v\n%s", err, out)
	}
	env := append(os.Environ(),
		"KAFKA_BROKERS="+strings.Join(brokers, ","), "KAFKA_TLS=true", "KAFKA_TLS_CA_FILE="+ca.CAFile,
		"KAFKA_TLS_CERT_FILE="+certFile, "KAFKA_TLS_KEY_FILE="+keyFile,
		"KAFKA_SASL_MECHANISM=SCRAM-SHA-512", "KAFKA_SASL_USERNAME="+kafkatest.User, "KAFKA_SASL_PASSWORD_FILE="+write(t, kafkaPassword),
		"SCHEMA_REGISTRY_URL="+registryURL, "SCHEMA_REGISTRY_CA_FILE="+registryCA,
		"SCHEMA_REGISTRY_USERNAME=shop", "SCHEMA_REGISTRY_PASSWORD_FILE="+write(t, registryPassword),
		"DATABASE_PASSWORD_FILE="+write(t, databasePassword),
		"GATEWAY_URL=http://127.0.0.1:1", "CARRIER_URL=http://127.0.0.1:1", // called only for an order
		"ORDER_URL=http://127.0.0.1:1", "MAILBOX_URL=http://127.0.0.1:1",
	)
	// As the job of a deployment creates them.
	apply := exec.Command(filepath.Join(bin, "shop"), "topics", "apply", "--brokers", strings.Join(brokers, ","))
	apply.Env = env
	if out, err := apply.CombinedOutput(); err != nil || !strings.Contains(string(out), "order.events") {
		t.Fatalf("shop topics apply: %v\n%s", err, out)
	}
	apply.Env = append(env[:len(env):len(env)], "KAFKA_SASL_PASSWORD_FILE="+write(t, "wrong"))
	apply = &exec.Cmd{Path: apply.Path, Args: append(apply.Args, "--wait", "2s"), Env: apply.Env}
	if out, err := apply.CombinedOutput(); err == nil {
		t.Errorf("shop topics apply with a wrong password: %s", out)
	}
	for _, name := range eventshop.Services() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own := append(env[:len(env):len(env)], "ADDR="+freeAddr(t), "DATABASE_URL="+databases(name))
			log := start(t, filepath.Join(bin, name), own)
			var said string
			kafkatest.Eventually(t, name+" ready", func() bool {
				check := exec.Command(filepath.Join(bin, name), "healthcheck")
				check.Env = own
				out, err := check.CombinedOutput()
				if text := string(out); text != said {
					said = text
					t.Log(strings.TrimSpace(text))
				}
				return err == nil
			})
			for _, line := range strings.Split(log(), "\n") {
				if strings.Contains(line, "hunter2") {
					t.Errorf("a password is in the log: %s", line)
				}
			}
		})
	}
}

// startKafka starts the broker of the stack under test with a listener that requires the user's
// password over TLS and, with Apache Kafka, a client certificate.
func startKafka(t *testing.T, ca kafkatest.Authority) (brokers []string) {
	t.Helper()
	if os.Getenv("EVENTSHOP_E2E_STACK") != "apache" {
		return kafkatest.StartSecured(t, "SCRAM-SHA-512", kafkaPassword, ca.Server(t))
	}
	java, err := jars.Java(t.Context())
	var dir string
	if err == nil {
		dir, err = jars.Fetch(t.Context(), jars.Kafka, func(what string) { t.Log(what) })
	}
	if err != nil {
		t.Fatal(err)
	}
	node := apache.Node{
		Java: java, Jars: dir, Dir: t.TempDir(), Port: freePort(t), Controller: freePort(t),
		Secure: &apache.Secure{Port: freePort(t), KeyStore: ca.KeyStore(t), Users: []apache.User{{Mechanism: "SCRAM-SHA-512", Name: kafkatest.User, Password: kafkaPassword}}},
		Config: map[string]string{
			"listener.name.secure.ssl.client.auth": "required",
			"ssl.truststore.type":                  "PEM", "ssl.truststore.location": ca.CAFile,
		},
	}
	if err := node.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	runner := process.Runner{Dir: t.TempDir()}
	if _, err := runner.Start(node.Spec("kafka", filepath.Join(node.Dir, "kafka.log"))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := runner.Kill(context.Background(), "kafka"); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	open := kafka.Cluster{Brokers: []string{fmt.Sprintf("127.0.0.1:%d", node.Port)}}
	if err := runner.AwaitReady(ctx, "kafka", func(ctx context.Context) error { return broker.Ping(ctx, open) }); err != nil {
		t.Fatal(err)
	}
	return []string{fmt.Sprintf("127.0.0.1:%d", node.Secure.Port)}
}

// start runs a program until the end of the test. It must then end with exit code 0. log stops the
// program and returns its log.
func start(t *testing.T, path string, env []string) (log func() string) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(path)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended; Wait tells
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v\n%s", filepath.Base(path), err, out.String())
		}
	}
	t.Cleanup(stop)
	return func() string { stop(); return out.String() }
}

// startRegistry adds TLS and basic authentication in front of a registry.
func startRegistry(t *testing.T) (address, caFile string) {
	t.Helper()
	behind, err := url.Parse(schematest.Start(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(behind)
	front := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "shop" || password != registryPassword {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return front.URL, write(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})))
}

func freeAddr(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", freePort(t))
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := server.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func write(t *testing.T, content string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
