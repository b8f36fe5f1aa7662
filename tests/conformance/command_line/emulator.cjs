// Firebase's own import and export of a database emulator, as `firebase emulators:start` would do them, with the server in its place.
// node emulator.cjs import|export HOST PORT FOLDER

const { DatabaseEmulator } = require("firebase-tools/lib/emulator/databaseEmulator");
const { HubExport } = require("firebase-tools/lib/emulator/hubExport");
const { EmulatorRegistry } = require("firebase-tools/lib/emulator/registry");
const fs = require("fs");
const path = require("path");

class Running extends DatabaseEmulator {
  async start() {}
  async stop() {}
}

async function main([what, host, port, folder]) {
  const emulator = new Running({ host, port: Number(port), projectId: "demo-lark", auto_download: false });
  await EmulatorRegistry.start(emulator);
  if (what === "export") {
    await new HubExport("demo-lark", { path: folder, initiatedBy: "test" }).exportAll();
    return;
  }
  const data = path.join(folder, HubExport.readMetadata(folder).database.path);
  for (const file of fs.readdirSync(data)) {
    await emulator.importData(path.basename(file, ".json"), path.join(data, file));
  }
}

// The import leaves its answers unread, and so its connections open.
main(process.argv.slice(2)).then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
