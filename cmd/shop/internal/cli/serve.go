package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"eventshop.example/local/broker"
	"eventshop.example/local/postgres"
	"eventshop.example/local/registry"
	"eventshop.example/local/stack"
)

// serveCommand runs the processes of the embedded stack that are part of this program. It is
// internal.
func serveCommand(*env) *cobra.Command {
	var port int
	var data string
	serve := &cobra.Command{Use: "serve", Hidden: true}
	flags := func(cmd *cobra.Command) *cobra.Command {
		cmd.Flags().IntVar(&port, "listen", 0, "port on 127.0.0.1")
		cmd.Flags().StringVar(&data, "data", "", "folder of its data")
		return cmd
	}
	serve.AddCommand(
		flags(&cobra.Command{
			Use: "broker", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return broker.Run(cmd.Context(), broker.Config{Port: port, DataDir: data})
			},
		}),
		flags(&cobra.Command{
			Use: "registry", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return registry.Run(cmd.Context(), registry.Config{Addr: fmt.Sprintf("127.0.0.1:%d", port), DataDir: data})
			},
		}),
		&cobra.Command{
			Use: "postgres-download CACHE", Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error { return postgres.Fetch(cmd.Context(), args[0]) },
		},
	)
	return serve
}

// postgresBinariesCommand prints the folder of the server binaries, for scripts.
func postgresBinariesCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:    "postgres-binaries",
		Short:  "Prints the folder of PostgreSQL server binaries, downloading them when there are none",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			say := func(what string) { fmt.Fprintln(cmd.ErrOrStderr(), what) }
			dir, err := postgres.Binaries(cmd.Context(), postgres.Auto, stack.DownloadCommand(self), say)
			if err != nil {
				return err
			}
			fmt.Fprintln(e.out, filepath.Clean(dir))
			return nil
		},
	}
}
