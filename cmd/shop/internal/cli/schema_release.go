package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"eventshop.example/ops/contract"
)

const schemaReleaseHelp = `Makes the schema of each subject that is new or changed its next released version, in the folder
"released" of the schemas. Commit the files: from then on every schema has to be compatible with
them. Nothing is released when "shop schema check" finds a breach. Files that exist are never
overwritten, and a schema that only has other docs is no new version.`

// releasedFiles is the JSON document of the command.
type releasedFiles struct {
	Files []string `json:"files"`
}

func schemaReleaseCommand(f *schemaFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "release",
		Short: "Makes new and changed schemas released versions",
		Long:  schemaReleaseHelp,
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			dir, err := f.folder()
			if err != nil {
				return err
			}
			c, files, err := contract.Release(dir, levelOf)
			switch {
			case err != nil && c != nil && c.Breached():
				if f.json {
					return errors.Join(printJSON(f.out, c), err)
				}
				f.printContract(c)
				return err
			case f.json:
				return errors.Join(printJSON(f.out, releasedFiles{append([]string{}, files...)}), err)
			}
			for _, file := range files {
				fmt.Fprintf(f.out, "wrote %s\n", file)
			}
			if err == nil && len(files) == 0 {
				fmt.Fprintln(f.out, "nothing to release: every schema is a released version")
			}
			return err
		},
	}
}
