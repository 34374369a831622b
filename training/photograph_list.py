"""The photographs that the demo's module is trained on: where they are in Debian's packages, and their licenses."""

from dataclasses import dataclass

from devtools.debian_images import GCOMPRIS

LOMIRI, LOMIRI_20 = "lomiri-wallpapers-16.04", "lomiri-wallpapers-20.04"
TAQUIN, PALAPELI, BUDGIE = "gnome-taquin", "palapeli-data", "budgie-core"
CC = "CC0, public domain, CC BY or CC BY-SA, by file"


@dataclass(frozen=True)
class Group:
    """Photographs of one folder.

    Attributes:
        package: one of Debian.
        folder: in the package; for GCompris its activity, a slash, and the path in the activity's resources.
        license: as the package says.
        files: their names; `ending` is added.
    """

    package: str
    folder: str
    license: str
    files: str
    ending: str = ".webp"

    @property
    def photographs(self) -> list[tuple[str, str]]:
        """Package and path of each."""
        return [(self.package, f"{self.folder}/{file}{self.ending}") for file in self.files.split()]


# What `bench quality --photographs` measures with is left out, and so are other photographs of the same thing.
GROUPS = (
    Group(
        GCOMPRIS,
        "categorization/images/fishes",
        CC,
        "fish1 fish2 fish3 fish4 fish5 fish6 fish7 fish8 fish10 fish11 fish12 fish13 fish14 fish15 fish16 "
        "fish17 fish18 fish19 fish20 fish21 fish22 fish23 fish24 fish25 fish26 fish27 fish28",
    ),
    Group(
        GCOMPRIS,
        "categorization/images/monuments",
        CC,
        "IndiaGate arcDeTriomphe bayterek burj cathedral christTheRedeemer colosseum eiffelTower empireState "
        "greatPyramid greatWall jucheTower kutubMinar leMusee leaningTowerOfPisa monument1 monument2 "
        "monument3 mountRushmore operaHouse parthenon tajMahal usCapitol zimniPalace",
    ),
    Group(
        GCOMPRIS,
        "categorization/images/others",
        CC,
        "baseball blackslate buffetset igloo knife pencil pillow plate spoons volleyball weighingMachine",
    ),
    Group(
        GCOMPRIS,
        "categorization/images/renewable",
        CC,
        "dam1 dam2 dam3 dam4 dam5 geothermal solar1 solar2 solar3 solar4 solar5 solar6 solar7 solar8 windmill "
        "windmill2 windmill3 windmill7 windmill8 windmill9 windmill11 windmill13 windmill14 windmill15",
    ),
    Group(
        GCOMPRIS,
        "categorization/images/tools",
        CC,
        "cuttingTool hammer1 hammer2 hammer3 hammer4 hammer5 hammer7 hammer8 hammer9 measuringTape1 "
        "measuringTape2 measuringTape3 measuringTape4 multimeter1 multimeter2 multimeter3 nailCutter plier1 "
        "plier2 plier3 plier4 scissors1 scissors2 scissors3 scissors4 screwDriver1 screwDriver3 sickle spray "
        "tweezer tweezer1 wrench wrench1",
    ),
    Group(GCOMPRIS, "categorization/images/alphabets", "CC BY-SA", "alphabets"),
    Group(GCOMPRIS, "categorization/images/numbers", "CC BY-SA", "numbers"),
    Group(GCOMPRIS, "clickgame", "CC0 or public domain, by file", "sea1 sea2 sea3 sea4 sea5 sea6"),
    Group(GCOMPRIS, "explore_farm_animals/animals", "CC0", "horse"),
    Group(
        GCOMPRIS,
        "explore_monuments/france",
        "public domain",
        "arlesAmphitheater chateaudeChambord chateaudeChenonceau citedeCarcassonne eiffelTower montStMichel "
        "palaisdesPapes pontduGard reimsCathedral rocamadour",
    ),
    Group(
        GCOMPRIS,
        "explore_monuments/india",
        "public domain",
        "ajantaCave charminar goldenTemple greatStupa hawaMahal konarkSunTemple mysorePalace qutubMinar rangGhar",
    ),
    Group(
        GCOMPRIS,
        "explore_monuments/wonders",
        "public domain or CC BY-SA, by file",
        "christTheRedeemer colosseum greatWallofChina machuPicchu petra tajMahal",
    ),
    Group(
        GCOMPRIS,
        "explore_world_animals/animals",
        "CC0 or public domain, by file",
        "giraffe jaguar moose narwhal scarlet_macaw",
    ),
    Group(
        GCOMPRIS,
        "explore_world_music/music",
        "CC0, public domain or CC BY, by file",
        "ireland italy japan mexico middleeast orchestra",
    ),
    Group(
        LOMIRI,
        "usr/share/backgrounds",
        "CC BY or CC BY-SA, by file",
        "Bridge_by_Sander_Klootwijk Dragonfly_by_Bolly Picture_1A_by_freespace Wine_by_Jakkub_Mede "
        "aitzgorri_by_Aitzol_Berasategi free_by_Peter_Nerlich friends_by_Aitzol_Berasategi "
        "greentock_by_Peter_Nerlich life_by_Aitzol_Berasategi picosdeeuropa_by_Aitzol_Berasategi "
        "sunset_by_Aitzol_Berasategi",
        ".jpg",
    ),
    Group(LOMIRI_20, "usr/share/backgrounds", "CC BY-SA", "Kleiber_by_Lukas_Baubkus", ".jpg"),
    Group(
        TAQUIN,
        "usr/share/gnome-taquin/themes/cats",
        "CC BY-SA or public domain, by file",
        "1-Jasmina 1-Tortoiseshell 1-maine 1-march",
        ".jpg",
    ),
    Group(
        PALAPELI,
        "usr/share/palapeli/collection",
        "public domain",
        "cincinnati-bridge citrus-fruits european-honey-bee",
        ".jpg",
    ),
    Group(BUDGIE, "usr/share/backgrounds/budgie", "CC0", "default", ".jpg"),
)
