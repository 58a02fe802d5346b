package main

import "github.com/brockdb/brock/restore"

// planJSON is what a restore would do: docs/cli-json.md promises its form.
type planJSON struct {
	Location  string           `json:"location"`
	BackupID  string           `json:"backup_id"`
	BackupNum int              `json:"backup_num"`
	Version   uint64           `json:"version"`
	Backups   []planBackupJSON `json:"backups"`
	Groups    []planGroupJSON  `json:"groups"`
}

type planBackupJSON struct {
	BackupNum   int    `json:"backup_num"`
	Type        string `json:"type"`
	Path        string `json:"path"`
	Records     int64  `json:"records"`
	StoredBytes int64  `json:"stored_bytes"`
}

type planGroupJSON struct {
	Group uint32 `json:"group"`
	Dir   string `json:"dir"`
}

func newPlanJSON(p *restore.Plan) planJSON {
	newest := p.Newest()
	j := planJSON{Location: p.Location, BackupID: p.BackupID, BackupNum: newest.BackupNum, Version: newest.ReadTs,
		Backups: []planBackupJSON{}, Groups: []planGroupJSON{}}
	for _, m := range p.Chain {
		j.Backups = append(j.Backups, planBackupJSON{m.BackupNum, m.Type, m.Path, m.Records, m.StoredBytes})
	}
	for _, g := range p.Groups {
		j.Groups = append(j.Groups, planGroupJSON{g.Group, g.Target})
	}
	return j
}
