package postgres

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"

	"eventshop.example/local/process"
	"eventshop.example/pkg/postgres/server"
)

// superuser is the role that initdb creates.
const superuser = "postgres"

// Cluster is the server's data and passwords on disk. [OpenCluster] creates it.
type Cluster struct {
	// Dir holds the data and the passwords. It is the folder asked for, or one
	// below /var/tmp when the server's user cannot get there.
	Dir string
	// Closed is the folder that keeps the server's user out, when Dir had to be
	// elsewhere.
	Closed    string
	passwords map[string]string // role → password
}

// OpenCluster finds or creates the folder. The data itself is created by
// [Cluster.Init].
func OpenCluster(dir string) (*Cluster, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create the folder of the databases: %w", err)
	}
	c := &Cluster{Dir: dir}
	ok, closed, err := open(filepath.Join(dir, "data"))
	if err != nil {
		return nil, err
	}
	if !ok {
		c.Closed = closed
		if c.Dir, err = elsewhere(dir); err != nil {
			return nil, fmt.Errorf("find a folder for the databases, %s being closed to the server's user: %w", closed, err)
		}
	}
	if err := c.readPasswords(); err != nil {
		return nil, err
	}
	return c, nil
}

// elsewhere returns the folder below /var/tmp that stands for dir. Its name is
// kept in dir, so that it goes out of use when dir is deleted by hand.
func elsewhere(dir string) (string, error) {
	link := filepath.Join(dir, "location")
	if b, err := os.ReadFile(link); err == nil {
		path := strings.TrimSpace(string(b))
		info, err := os.Lstat(path)
		if err != nil {
			return "", fmt.Errorf("the data that %s names is gone: %w", link, err)
		}
		if st, ok := info.Sys().(*syscall.Stat_t); !info.IsDir() || ok && int(st.Uid) != os.Geteuid() {
			return "", fmt.Errorf("%s belongs to somebody else", path)
		}
		return path, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	path, err := os.MkdirTemp("/var/tmp", prefix(dir)+"*")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(path, 0o755); err != nil {
		return "", err
	}
	return path, os.WriteFile(link, []byte(path+"\n"), 0o644)
}

func prefix(dir string) string {
	return fmt.Sprintf("eventshop-%x-", sha256.Sum256([]byte(dir)))[:len("eventshop-")+9] + "-"
}

// Wipe deletes the cluster that [OpenCluster] made for dir, wherever it is. The
// server must be stopped.
func Wipe(dir string) error {
	var err error
	if b, rerr := os.ReadFile(filepath.Join(dir, "location")); rerr == nil {
		path := strings.TrimSpace(string(b))
		if ok, _ := filepath.Match("/var/tmp/"+prefix(dir)+"*", path); !ok {
			return fmt.Errorf("delete the databases: %s is not a folder of this stack", path)
		}
		err = os.RemoveAll(path)
	}
	return errors.Join(err, os.RemoveAll(dir))
}

func (c *Cluster) data() string { return filepath.Join(c.Dir, "data") }

// Init creates the data with initdb, unless it is there.
func (c *Cluster) Init(ctx context.Context, binDir string) error {
	if server.Initialized(c.data()) {
		return nil
	}
	password, err := c.password(superuser)
	if err != nil {
		return err
	}
	// initdb writes its version file early; only what it finished gets the name.
	unfinished := c.data() + ".unfinished"
	if err := os.RemoveAll(unfinished); err != nil {
		return fmt.Errorf("remove what an interrupted initdb left: %w", err)
	}
	// The folder is new and fsynced as a whole by the first checkpoint.
	if err := server.InitDB(ctx, binDir, unfinished, superuser, password); err != nil {
		return err
	}
	if err := os.Rename(unfinished, c.data()); err != nil {
		return fmt.Errorf("put the new databases in place: %w", err)
	}
	return nil
}

// Spec returns how to run the server on the port.
func (c *Cluster) Spec(binDir string, port int, log string) (process.Spec, error) {
	cmd, err := server.Command(binDir, c.data(), port,
		// One line per event with time and process, in UTC like the services' logs.
		"log_line_prefix=%m [%p] ", "log_timezone=UTC", "timezone=UTC",
		// Five services of up to nine processes with a pool of 8 each, and the commands
		// that look on. A connection nobody opens takes some kilobytes.
		"max_connections=400",
		// So that change data capture can be switched on (it decodes nothing until then); a
		// reader that stays away loses its place before it fills the disk.
		"wal_level=logical", "max_slot_wal_keep_size=1GB")
	if err != nil {
		return process.Spec{}, err
	}
	spec := process.Spec{Name: "postgres", Path: cmd.Path, Args: cmd.Args[1:], Env: cmd.Env, Dir: cmd.Dir, Log: log,
		StopSignal: syscall.SIGINT} // "fast": SIGTERM would wait for clients to leave
	if cred := cmd.SysProcAttr.Credential; cred != nil {
		spec.User = &process.User{UID: cred.Uid, GID: cred.Gid}
	}
	return spec, nil
}

// AdminURL is the superuser's URL of the server on the port.
func (c *Cluster) AdminURL(port int) (string, error) {
	password, err := c.password(superuser)
	if err != nil {
		return "", err
	}
	u := url.URL{Scheme: "postgres", Host: "127.0.0.1:" + strconv.Itoa(port), Path: "/postgres",
		User: url.UserPassword(superuser, password), RawQuery: "sslmode=disable"}
	return u.String(), nil
}

// Ping connects and runs a query.
func Ping(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return conn.Ping(ctx)
}

func (c *Cluster) file() string { return filepath.Join(c.Dir, "passwords.json") }

func (c *Cluster) readPasswords() error {
	c.passwords = map[string]string{}
	b, err := os.ReadFile(c.file())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(b, &c.passwords)
	}
	if err != nil {
		return fmt.Errorf("read the passwords of the databases: %w", err)
	}
	return nil
}

// password returns a role's password, a new one when it has none. It is on disk
// before the server knows it.
func (c *Cluster) password(role string) (string, error) {
	if p, ok := c.passwords[role]; ok {
		return p, nil
	}
	c.passwords[role] = rand.Text()
	b, err := json.MarshalIndent(c.passwords, "", "  ")
	if err == nil {
		err = os.WriteFile(c.file()+".tmp", b, 0o600)
	}
	if err == nil {
		err = os.Rename(c.file()+".tmp", c.file())
	}
	if err != nil {
		delete(c.passwords, role)
		return "", fmt.Errorf("store the passwords of the databases: %w", err)
	}
	return c.passwords[role], nil
}
