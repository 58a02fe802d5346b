package admin

import (
	"context"

	"github.com/brockdb/brock/worker"
)

func (m mutation) CopyBackups(ctx context.Context, input CopyBackupsInput) (*CopyBackupsPayload, error) {
	id, err := m.Node.SubmitCopy(ctx, worker.CopyRequest{
		Location: input.Location, Destination: input.Destination, BackupID: value(input.BackupID), All: value(input.All),
		FromCredentials: credentials(input.AccessKey, input.SecretKey, input.SessionToken, input.Anonymous),
		ToCredentials: credentials(input.DestinationAccessKey, input.DestinationSecretKey, input.DestinationSessionToken,
			input.DestinationAnonymous),
		Keys: worker.KeyRequest{
			EncryptionKeyFile: value(input.EncryptionKeyFile), VaultAddr: value(input.VaultAddr),
			VaultRoleIDFile: value(input.VaultRoleidFile), VaultSecretIDFile: value(input.VaultSecretidFile),
			VaultPath: value(input.VaultPath), VaultField: value(input.VaultField), VaultFormat: value(input.VaultFormat),
		},
	})
	if err != nil {
		return nil, err
	}
	message := "Copy queued with ID " + id
	return &CopyBackupsPayload{Response: success(message), TaskID: &id}, nil
}
