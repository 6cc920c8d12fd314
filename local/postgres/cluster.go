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
	// Dir contains the data and the passwords. It is the requested folder, or one below /var/tmp if
	// the server's user cannot reach the requested one.
	Dir string
	// Closed is the folder that the server's user cannot enter, if Dir is below /var/tmp.
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

// elsewhere returns the folder below /var/tmp that replaces dir. Its name is stored in dir, so that
// it is no longer used when dir is deleted manually.
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

// Wipe deletes the cluster that [OpenCluster] created for dir, in either place. The server must be
// stopped.
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

// Init creates the data with initdb, unless it exists.
func (c *Cluster) Init(ctx context.Context, binDir string) error {
	if server.Initialized(c.data()) {
		return nil
	}
	password, err := c.password(superuser)
	if err != nil {
		return err
	}
	// initdb writes its version file early. Only complete data gets the final name.
	unfinished := c.data() + ".unfinished"
	if err := os.RemoveAll(unfinished); err != nil {
		return fmt.Errorf("remove what an interrupted initdb left: %w", err)
	}
	// The folder is new; the first checkpoint fsyncs it as a whole.
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
		// Seven services of up to three processes with 16 each, and the commands that read. An unused
		// connection slot takes some kilobytes.
		"max_connections=400",
		// So that change data capture can be switched on (without it, nothing is decoded). A reader
		// that is away for too long loses its slot before it fills the disk.
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

// AdminURL returns the superuser's URL of the server on the port.
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

// password returns a role's password, and creates one if there is none. The password is on disk
// before the server gets it.
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
