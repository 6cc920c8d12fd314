package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	embedded "github.com/fergusstrange/embedded-postgres"

	"eventshop.example/pkg/postgres/server"
)

// CacheDir is where downloads are kept for all stacks of this user. The server's
// user has to get in, so for root it is not in root's home.
func CacheDir() string {
	if dir, err := os.UserCacheDir(); err == nil && os.Geteuid() != 0 {
		return filepath.Join(dir, "eventshop")
	}
	return "/var/tmp/eventshop-cache"
}

// Binaries returns a folder of PostgreSQL server binaries: the machine's own, or
// downloaded into cache. download skips the machine's own. self is this program,
// which has to answer the arguments "serve postgres-download FOLDER" with
// Download.
func Binaries(ctx context.Context, cache, self string, download bool, out io.Writer) (string, error) {
	if !download {
		dir, err := server.FindBinaries(ctx)
		if err == nil || !errors.Is(err, server.ErrNotFound) {
			return dir, err
		}
	}
	bin := filepath.Join(cache, "postgres", "bin")
	if _, err := os.Stat(filepath.Join(bin, "postgres")); err == nil {
		return bin, nil
	}
	fmt.Fprintln(out, "no PostgreSQL server on this machine: downloading one, once (about 30 MB)")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	if err := server.Own(cache); err != nil {
		return "", err
	}
	// The library starts the server it has unpacked and cannot do so as root, so it
	// works in a process of its own under the server's user.
	cmd := exec.CommandContext(ctx, self, "serve", "postgres-download", cache)
	cred, err := server.Credential()
	if err != nil {
		return "", err
	}
	cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Credential: cred}
	cmd.Env = append(os.Environ(), "HOME="+cache)
	if b, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("download PostgreSQL: %w\n%s", err, b)
	}
	return bin, nil
}

// Download has the library download and unpack the binaries into cache/postgres
// by starting a throw-away server from them.
func Download(cache string) error {
	port, err := server.FreePort()
	if err != nil {
		return err
	}
	db := embedded.NewDatabase(embedded.DefaultConfig().
		Version(embedded.V17).
		Port(uint32(port)).
		CachePath(filepath.Join(cache, "archives")).
		RuntimePath(filepath.Join(cache, "runtime")).
		BinariesPath(filepath.Join(cache, "postgres")).
		StartTimeout(2 * time.Minute).
		Logger(io.Discard))
	if err := db.Start(); err != nil {
		return err
	}
	return db.Stop()
}
