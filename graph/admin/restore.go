package admin

import (
	"context"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/worker"
)

func (m mutation) Restore(ctx context.Context, input RestoreInput) (*RestorePayload, error) {
	switch {
	case value(input.IncrementalFrom) > 1:
		return nil, fault.New(fault.Usage, "restore", "incrementalFrom is %d; a series is restored from its full backup on", *input.IncrementalFrom).
			WithHint("leave incrementalFrom out; with backupNum the restore ends at an earlier backup")
	case value(input.IsPartial):
		return nil, fault.New(fault.Usage, "restore", "isPartial is not supported: a restore is always complete").
			WithHint("leave isPartial out; restore the series up to the newest backup, or a later one with overwrite: true")
	}
	request := worker.RestoreRequest{
		Location: input.Location,
		BackupID: value(input.BackupID), BackupNum: value(input.BackupNum), Until: value(input.Until),
		Selection:   selection(input.Include, input.Exclude, input.Namespaces),
		Overwrite:   value(input.Overwrite),
		Credentials: credentials(input.AccessKey, input.SecretKey, input.SessionToken, input.Anonymous),
		Keys: worker.KeyRequest{
			EncryptionKeyFile: value(input.EncryptionKeyFile), VaultAddr: value(input.VaultAddr),
			VaultRoleIDFile: value(input.VaultRoleIDFile), VaultSecretIDFile: value(input.VaultSecretIDFile),
			VaultPath: value(input.VaultPath), VaultField: value(input.VaultField), VaultFormat: value(input.VaultFormat),
		},
	}
	for _, rename := range input.Rename {
		request.Rename = append(request.Rename, worker.Rename{From: rename.From, To: rename.To})
	}
	id, err := m.Node.SubmitRestore(ctx, request)
	if err != nil {
		return nil, err
	}
	done := success("Restore operation started with ID " + id)
	return &RestorePayload{Code: done.Code, Message: done.Message, TaskID: &id}, nil
}

func selection(include, exclude, namespaces []string) manifest.Selection {
	return manifest.Selection{Include: include, Exclude: exclude, Namespaces: namespaces}
}

// selectionPayload is null for a backup of everything.
func selectionPayload(m *manifest.Manifest) *BackupSelection {
	if !m.Partial {
		return nil
	}
	list := func(words []string) []string { return append([]string{}, words...) }
	return &BackupSelection{Include: list(m.Selection.Include), Exclude: list(m.Selection.Exclude), Namespaces: list(m.Selection.Namespaces)}
}
