package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"eventshop.example/cmd/shop/internal/term"
	"eventshop.example/local/compose"
	"eventshop.example/local/jars"
	"eventshop.example/local/stack"
	"eventshop.example/ops/eventshop"
	"eventshop.example/pkg/postgres/server"
)

// diskNeeded is enough for building and a day of use.
const diskNeeded = 2 << 30

func doctorCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Says what is missing on this machine and how to get it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.find()
			if err != nil {
				return err
			}
			sick := 0
			tell := func(ok bool, what, found, remedy string) {
				mark := term.Paint(e.out, term.Green, "ok  ")
				if !ok {
					mark = term.Paint(e.out, term.Red, "MISS")
					sick++
				}
				fmt.Fprintf(e.out, "%s  %-12s %s\n", mark, what, found)
				if !ok {
					fmt.Fprintf(e.out, "      %-12s → %s\n", "", remedy)
				}
			}
			if s.File().Compose {
				found, remedy := "it answers", ""
				err := compose.Missing(cmd.Context())
				if err != nil {
					found, remedy = err.Error(), "the shop's processes are containers"
				}
				tell(err == nil, "docker", found, remedy)
			} else {
				found, ok := goVersion(cmd.Context())
				tell(ok, "go", found, "install Go 1.26 or newer from https://go.dev/dl/")
				found, ok = database(cmd.Context())
				tell(ok, "postgresql", found, "install PostgreSQL 15 or newer, or give one with --postgres URL")
			}

			if s.File().KafkaSource == stack.Apache {
				java, err := jars.Java(cmd.Context())
				if err != nil {
					java = err.Error()
				}
				tell(err == nil, "java", java, "Apache Kafka needs it")
			}

			if s.Known() {
				registries(cmd.Context(), s, tell)
			}
			running, err := s.Running()
			if err != nil {
				return err
			}
			ports := stack.DefaultPorts()
			if s.Known() {
				ports = s.File().Ports
			}
			for _, name := range s.Processes() {
				if _, ours := running[name]; ours || s.Elsewhere(name) {
					continue
				}
				for _, listener := range s.PortsOf(name) {
					l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", ports[listener]))
					if err != nil {
						tell(false, "port", fmt.Sprintf("%d, for %s, is taken", ports[listener], name),
							fmt.Sprintf("free it, or choose another: shop up --port %s=N", listener))
						continue
					}
					l.Close()
				}
			}
			tell(true, "ports", fmt.Sprintf("%d of ours in use", len(running)), "")

			var fs syscall.Statfs_t
			if err := os.MkdirAll(s.State, 0o755); err != nil {
				return err
			}
			if err := syscall.Statfs(s.State, &fs); err == nil {
				free := uint64(fs.Bavail) * uint64(fs.Bsize) // the types differ between systems
				tell(free >= diskNeeded, "disk", fmt.Sprintf("%d MB free in %s", free>>20, s.State), "2 GB are needed; --state DIR puts it elsewhere")
			}
			tell(true, "machine", fmt.Sprintf("%s/%s, %d cores", runtime.GOOS, runtime.GOARCH, runtime.NumCPU()), "")
			if sick > 0 {
				return fmt.Errorf("missing or taken: %d", sick)
			}
			return nil
		},
	}
}

// registries reports for each external schema registry whether it answers.
func registries(ctx context.Context, s *stack.Stack, tell func(ok bool, what, found, remedy string)) {
	asked := map[eventshop.Registry]bool{}
	for _, service := range eventshop.Services() {
		r, err := s.File().RegistryOf(service)
		if err != nil {
			tell(false, "registry", err.Error(), "all processes of a service need the same one")
			continue
		}
		if asked[r] || r.URL == s.File().URL[stack.Registry] && !s.Elsewhere(stack.Registry) {
			continue
		}
		asked[r] = true
		found := "it answers at " + r.String()
		if err = r.Answers(ctx); err != nil {
			found = fmt.Sprintf("%s does not answer as a schema registry: %v", r, err)
		}
		tell(err == nil, "registry", found, fmt.Sprintf("%s needs it, and so do the commands that decode its events", service))
	}
}

// goVersion returns the Go version that builds the shop here, and whether it is new enough.
func goVersion(ctx context.Context) (found string, ok bool) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOVERSION").Output()
	if err != nil {
		return "no go command", false
	}
	version := strings.TrimSpace(string(out)) // "go1.26.8", or "devel go1.27-…"
	return version, recent(version)
}

// recent reports whether a Go version is 1.26 or newer, which every go.mod requires.
func recent(version string) bool {
	_, number, _ := strings.Cut(version, "go1.")
	minor, err := strconv.Atoi(number[:len(number)-len(strings.TrimLeft(number, "0123456789"))])
	return err == nil && minor >= 26
}

// database reports the origin of PostgreSQL on this machine.
func database(ctx context.Context) (found string, ok bool) {
	bin, err := server.FindBinaries(ctx)
	if errors.Is(err, server.ErrNotFound) {
		return "none here: the first start downloads it", true
	}
	if err != nil {
		return err.Error(), false
	}
	major, err := server.Major(ctx, bin)
	if err != nil {
		return err.Error(), false
	}
	if _, err := server.Credential(); err != nil {
		return err.Error(), false
	}
	return fmt.Sprintf("version %d in %s", major, bin), true
}
