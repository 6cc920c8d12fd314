package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// healthcheckTimeout bounds the whole command; /readyz itself answers within 900 ms.
const healthcheckTimeout = 3 * time.Second

// maxReport bounds what is read of an answer, because another program may listen there.
const maxReport = 64 << 10

// healthcheck asks the process that listens on ADDR whether it is ready. It uses the loopback
// interface unless ADDR names another host. It is for images that have no shell.
func healthcheck(ctx context.Context, env *Env, out io.Writer) error {
	addr := env.Required("ADDR")
	if env.Err() != nil {
		return nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port == "" || port == "0" {
		env.Fail("ADDR", fmt.Sprintf("must be host:port with a fixed port, not %q", addr))
		return nil
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, healthcheckTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return err
	}
	// A transport of its own, so that a proxy from the environment is not used.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxReport))
	if err != nil {
		return fmt.Errorf("read the answer of /readyz: %w", err)
	}
	if res.StatusCode == http.StatusOK {
		fmt.Fprintln(out, "ready")
		return nil
	}
	var report Report
	if json.Unmarshal(body, &report) != nil || len(report.Checks) == 0 {
		return fmt.Errorf("/readyz answers %s", res.Status)
	}
	var reasons []string
	for _, check := range slices.Sorted(maps.Keys(report.Checks)) {
		if reason := report.Checks[check]; reason != "ok" {
			reasons = append(reasons, check+": "+reason)
		}
	}
	return errors.New("not ready: " + strings.Join(reasons, "; "))
}
