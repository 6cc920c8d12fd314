package rebuild

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"eventshop.example/bench/infra"
	"eventshop.example/local/gobuild"
	"eventshop.example/pkg/postgres/server"
)

// Program is the program of the projection service.
type Program struct{ path string }

// Build builds the program of a repository in a folder.
func Build(ctx context.Context, repo, dir string, note func(string)) (*Program, error) {
	p := &Program{filepath.Join(dir, "projection")}
	err := gobuild.Build{
		Dir: repo, Packages: []string{"./services/projection/cmd/projection"}, Flags: []string{"-ldflags=-s -w", "-o", p.path}, Env: []string{"CGO_ENABLED=0"},
	}.Run(ctx, func(is gobuild.Progress) { note(is.String()) })
	if err != nil {
		return nil, fmt.Errorf("build the projection service: %w", err)
	}
	return p, nil
}

// Settings are those of a process that differ between runs.
type Settings struct {
	DatabaseURL string
	Registry    string
	Brokers     []string
	FillSet     int // FILL_SET; 0: the default
}

// env returns the environment of a process.
func (s Settings) env(more ...string) []string {
	all := append(os.Environ(), "DATABASE_URL="+s.DatabaseURL, "SCHEMA_REGISTRY_URL="+s.Registry,
		"KAFKA_BROKERS="+strings.Join(s.Brokers, ","), "LOG_LEVEL=info", "READ_WAIT=5s")
	if s.FillSet > 0 {
		all = append(all, "FILL_SET="+strconv.Itoa(s.FillSet))
	}
	return append(all, more...)
}

// Migrate runs the program's job that creates the tables.
func (p *Program) Migrate(ctx context.Context, s Settings) error {
	cmd := exec.CommandContext(ctx, p.path, "migrate")
	cmd.Env = s.env()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("projection migrate: %w: %s", err, out)
	}
	return nil
}

// Process is a running projection service. It ends with this process.
type Process struct {
	PID      int
	URL      string // of its API
	operator string
	cmd      *exec.Cmd
	output   *bytes.Buffer
	ended    chan error
}

// Start starts a process and waits until it answers.
func (p *Program) Start(ctx context.Context, s Settings) (*Process, error) {
	var addresses [2]string
	for i := range addresses {
		port, err := server.FreePort()
		if err != nil {
			return nil, err
		}
		addresses[i] = fmt.Sprintf("127.0.0.1:%d", port)
	}
	run := &Process{URL: "http://" + addresses[0], operator: "http://" + addresses[1], output: &bytes.Buffer{}, ended: make(chan error, 1)}
	run.cmd = exec.Command(p.path)
	run.cmd.Env = s.env("ADDR="+addresses[0], "OPERATOR_ADDR="+addresses[1])
	run.cmd.Stdout, run.cmd.Stderr = run.output, run.output
	run.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := run.cmd.Start(); err != nil {
		return nil, err
	}
	run.PID = run.cmd.Process.Pid
	go func() { run.ended <- run.cmd.Wait() }()
	within, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := infra.Until(within, func() error { return get(within, run.URL+"/readyz", nil) })
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the projection service is not ready: %w", err), run.Kill())
	}
	return run, nil
}

// Stop ends the process as an operator does.
func (p *Process) Stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := <-p.ended; err != nil {
		return fmt.Errorf("the projection service ended with %w: %s", err, p.output)
	}
	return nil
}

// Kill ends the process by SIGKILL.
func (p *Process) Kill() error {
	if err := p.cmd.Process.Kill(); err != nil {
		return err
	}
	<-p.ended //nolint:errcheck // it says that the process was killed
	return nil
}

// Operate sends a change of a projection to the operators' API, such as "rebuild".
func (p *Process) Operate(ctx context.Context, projection, change string, version int) error {
	body, err := json.Marshal(map[string]int{"version": version})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.operator+"/projections/"+projection+"/"+change, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Operator", "bench")
	_, err = do(req, nil)
	return err
}

// becomes waits until a version of a projection has a state.
func (p *Process) becomes(ctx context.Context, projection string, version int, state string) error {
	return infra.Until(ctx, func() error {
		var all struct {
			Versions []struct {
				Version int
				State   string
			}
		}
		if err := get(ctx, p.operator+"/projections/"+projection, &all); err != nil {
			return err
		}
		for _, v := range all.Versions {
			if v.Version == version && v.State == state {
				return nil
			}
		}
		return fmt.Errorf("%s version %d is not %s yet", projection, version, state)
	})
}

// handled waits until the consumer has handled all records of the topics.
func (p *Process) handled(ctx context.Context, t *Topics) error {
	return infra.Until(ctx, func() error {
		var all struct {
			Versions []struct{ Total int64 }
		}
		if err := get(ctx, p.operator+"/projections/orders", &all); err != nil {
			return err
		}
		if len(all.Versions) == 0 || all.Versions[0].Total != t.Events {
			return fmt.Errorf("the consumer has not handled all of %d records", t.Events)
		}
		return nil
	})
}

func get(ctx context.Context, url string, into any) error {
	_, err := getWith(ctx, url, into)
	return err
}

// getWith returns the headers of the answer as well.
func getWith(ctx context.Context, url string, into any) (http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return do(req, into)
}

// do sends a request and decodes the answer, which must be 200.
func do(req *http.Request, into any) (http.Header, error) {
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return res.Header, fmt.Errorf("%s %s: %d %s", req.Method, req.URL.Path, res.StatusCode, text)
	}
	if into == nil {
		return res.Header, nil
	}
	return res.Header, json.Unmarshal(text, into)
}
