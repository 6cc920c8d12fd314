package cli

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"eventshop.example/local/stack"
	"eventshop.example/pkg/postgres/server"
)

// diskNeeded is what building and a day of playing take.
const diskNeeded = 2 << 30

func doctorCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Says what is missing on this machine and how to get it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := e.open()
			if err != nil {
				return err
			}
			sick := 0
			tell := func(ok bool, what, found, remedy string) {
				mark := "ok  "
				if !ok {
					mark = "MISS"
					sick++
				}
				fmt.Fprintf(e.out, "%s  %-12s %s\n", mark, what, found)
				if !ok {
					fmt.Fprintf(e.out, "      %-12s → %s\n", "", remedy)
				}
			}
			out, err := exec.CommandContext(cmd.Context(), "go", "version").Output()
			tell(err == nil, "go", strings.TrimSpace(string(out)), "install Go 1.26 or newer from https://go.dev/dl/")

			bin, err := server.FindBinaries(cmd.Context())
			switch {
			case err == nil:
				tell(true, "postgresql", bin, "")
			case errors.Is(err, server.ErrNotFound):
				tell(true, "postgresql", "none here: it will be downloaded at the first start", "")
			default:
				tell(false, "postgresql", err.Error(), "install PostgreSQL 15 or newer, or give one with --postgres URL")
			}

			running, err := s.Running()
			if err != nil {
				return err
			}
			ports := stack.DefaultPorts()
			if s.Known() {
				ports = s.File().Ports
			}
			for _, name := range stack.Processes() {
				if _, ours := running[name]; ours {
					continue
				}
				l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", ports[name]))
				if err != nil {
					tell(false, "port", fmt.Sprintf("%d, for %s, is taken", ports[name], name),
						fmt.Sprintf("free it, or choose another: shop up --port %s=N", name))
					continue
				}
				l.Close()
			}
			tell(true, "ports", fmt.Sprintf("%d of ours in use", len(running)), "")

			var fs syscall.Statfs_t
			if err := os.MkdirAll(s.State, 0o755); err != nil {
				return err
			}
			if err := syscall.Statfs(s.State, &fs); err == nil {
				free := uint64(fs.Bavail) * uint64(fs.Bsize) //nolint:unconvert // the types differ between systems
				tell(free >= diskNeeded, "disk", fmt.Sprintf("%d MB free in %s", free>>20, s.State), "2 GB are needed; --state DIR puts it elsewhere")
			}
			tell(true, "machine", fmt.Sprintf("%s/%s, %d cores", runtime.GOOS, runtime.GOARCH, runtime.NumCPU()), "")
			if sick > 0 {
				return fmt.Errorf("%d things are missing", sick)
			}
			return nil
		},
	}
}
